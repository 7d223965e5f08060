#!/bin/sh
# Says where everything came from, and fails if something did not arrive.
set -eu
echo "user      $(id --user --name) ($(id --user))"
echo "project   $PROJECT"
echo "greeting  $GREETING"
test "$(id --user --name)" = dev
test "$GREETING" = "Hello from development"
test -z "${BUILT_WITH+set}"
