#!/bin/sh
# Becomes Postgres, on a cluster that is made when there is none.
set -eu

if [ ! -d "$PGDATA" ]; then
    # Made elsewhere and moved when it is whole: a start that is cut off here begins anew.
    rm -rf "$PGDATA.new"
    initdb --pgdata="$PGDATA.new" --username="$PGUSER" --auth=trust --encoding=UTF8 --locale=C.UTF-8
    mv "$PGDATA.new" "$PGDATA"
fi

exec postgres -c listen_addresses= -c unix_socket_directories="$PGHOST"
