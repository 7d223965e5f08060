"""A small site about coves: a page for people, JSON for programs."""

import os

import psycopg
from flask import Flask, jsonify, render_template, request
from psycopg.rows import dict_row

app = Flask(__name__)
app.json.sort_keys = False
app.json.ensure_ascii = False
app.json.compact = False


def coves():
    """Every cove, the calmest first."""
    with psycopg.connect(os.environ["DATABASE_URL"], row_factory=dict_row) as connection:
        return connection.execute(
            "SELECT name, country, shelter, note FROM coves ORDER BY shelter DESC, name"
        ).fetchall()


@app.get("/")
def index():
    """The page for browsers, JSON for everything that does not ask for a page."""
    if "text/html" in request.headers.get("Accept", ""):
        return render_template("index.html", coves=coves())
    return api()


@app.get("/api/coves")
def api():
    rows = coves()
    return jsonify(message=f"{len(rows)} quiet places, out of Postgres", coves=rows)


@app.get("/healthz")
def healthz():
    """Whether the web server and the database behind it answer."""
    with psycopg.connect(os.environ["DATABASE_URL"], connect_timeout=5) as connection:
        connection.execute("SELECT 1")
    return jsonify(status="ok")
