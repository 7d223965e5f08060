#!/bin/sh
# Becomes Valkey, without a TCP port. Each change is on the disk before it is answered.
set -eu

mkdir -p "$DATABASE"
exec valkey-server --port 0 --unixsocket "$DATABASE_SOCKET" --unixsocketperm 700 \
    --dir "$DATABASE" --appendonly yes --appendfsync always --save ''
