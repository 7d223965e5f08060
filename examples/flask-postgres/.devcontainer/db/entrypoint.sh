#!/bin/sh
# Runs Postgres on the data volume, which is initialised when it is empty.
set -eu

: "${POSTGRES_USER:?is not set}" "${POSTGRES_PASSWORD:?is not set}" "${POSTGRES_DB:?is not set}"
volume=/var/lib/postgresql/data
cluster=$volume/cluster

if [ "$(id -u)" = 0 ]; then
    install -d -o postgres -g postgres -m 700 "$volume"
    install -d -o postgres -g postgres -m 775 /run/postgresql
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0"
fi

if [ ! -d "$cluster" ]; then
    # Made elsewhere and moved when it is whole: a start that is cut off here begins anew.
    new=$volume/new
    rm -rf "$new"
    printf '%s\n' "$POSTGRES_PASSWORD" | initdb --pgdata="$new" --username="$POSTGRES_USER" \
        --pwfile=/dev/stdin --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
    echo "host all all all scram-sha-256" >> "$new/pg_hba.conf"
    if [ "$POSTGRES_DB" != postgres ]; then
        echo "CREATE DATABASE \"$POSTGRES_DB\"" | postgres --single -D "$new" postgres
    fi
    mv "$new" "$cluster"
fi

exec postgres -D "$cluster" -c listen_addresses='*' -c unix_socket_directories=/run/postgresql
