"""Makes the table and fills it. Doing it again changes nothing."""

import os

import psycopg

COVES = [
    ("Lulworth Cove", "England", 5, "A nearly closed circle, cut into chalk by the sea."),
    ("Cala Macarelleta", "Spain", 4, "White sand between pine-covered cliffs on Menorca."),
    ("Hvalvík", "Iceland", 3, "Black pebbles, grey seals, nobody else."),
    ("Stiniva", "Croatia", 5, "The way in from the sea is five metres wide."),
    ("Kynance Cove", "England", 2, "Serpentine rock, and waves that mean it."),
    ("Honopū", "Hawaiʻi", 2, "Two beaches joined by an arch; come by swimming."),
]

with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    connection.execute(
        """
        CREATE TABLE IF NOT EXISTS coves (
            name text PRIMARY KEY,
            country text NOT NULL,
            shelter integer NOT NULL CHECK (shelter BETWEEN 1 AND 5),
            note text NOT NULL
        )
        """
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO coves VALUES (%s, %s, %s, %s) ON CONFLICT (name) DO NOTHING", COVES
        )
    count = connection.execute("SELECT count(*) FROM coves").fetchone()[0]

print(f"The database knows {count} coves.")
