#!/bin/sh
# Makes the table and fills it; doing it again changes nothing. Leaves the number of rows for the web server.
set -eu

psql --quiet --set=ON_ERROR_STOP=1 <<'SQL'
CREATE TABLE IF NOT EXISTS coves (name text PRIMARY KEY, country text NOT NULL);
INSERT INTO coves VALUES
    ('Lulworth Cove', 'England'), ('Cala Macarelleta', 'Spain'), ('Hvalvík', 'Iceland'), ('Stiniva', 'Croatia')
ON CONFLICT DO NOTHING;
SQL

rows=$(psql --tuples-only --no-align --command='SELECT count(*) FROM coves')
echo "The database knows $rows coves."
echo "rows=$rows" > "$COVE_OUTPUT"
