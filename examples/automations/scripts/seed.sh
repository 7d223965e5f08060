#!/bin/sh
# Fills the database; doing it again changes nothing. Leaves how much it knows for the web server.
set -eu

ask() { valkey-cli -e -s "$DATABASE_SOCKET" "$@"; }

ask HSET coves \
    'Lulworth Cove' England 'Cala Macarelleta' Spain 'Hvalvík' Iceland 'Stiniva' Croatia > /dev/null

count=$(ask HLEN coves)
echo "The database knows $count coves."
echo "count=$count" > "$COVE_OUTPUT"
