#!/bin/sh
# Writes what the page tells of the place where it is served.
set -eu

mkdir -p /tmp/hello
cat > /tmp/hello/facts.json << END
{ "kernel": "$(uname -sr)", "processor": "$(uname -m)", "user": "$(id -un)", "folder": "$PWD" }
END
echo "This is $(uname -sr), in $PWD."
