#!/bin/sh
# Becomes the web server. Debian's perl is in the base image; other small images have busybox instead.
set -eu

rm -f /tmp/hello-page-listens
if command -v perl > /dev/null; then
    exec perl scripts/serve.pl 8642
fi
# The page does without them where the folder cannot be written.
cp /tmp/hello/facts.json site/facts.json 2> /dev/null || true
touch /tmp/hello-page-listens
exec busybox httpd -f -p 8642 -h site
