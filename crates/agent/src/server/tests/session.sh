#!/bin/sh
if [ "$1" = --terminal ]; then shift; own=-c; fi
cd "$1" && shift
exec setsid $own "$@"
