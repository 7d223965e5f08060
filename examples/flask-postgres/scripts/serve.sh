#!/bin/sh
# Starts the web app in the background, unless it runs already, and waits until it answers.
set -eu
cd "$(dirname "$0")/.."
log=/tmp/web.log

# The lock is held as long as the server lives, so that a second start does nothing. A session of its own
# keeps the server alive when the shell that ran this goes away.
setsid --fork flock --nonblock /tmp/web.lock \
    flask --app app run --host 0.0.0.0 --port 8000 >> "$log" 2>&1 < /dev/null

if ! curl --silent --fail --noproxy '*' --output /dev/null \
    --retry 60 --retry-delay 1 --retry-all-errors http://127.0.0.1:8000/healthz; then
    echo "The web app does not answer. Its log, $log, ends with:" >&2
    tail -n 20 "$log" >&2
    exit 1
fi
echo "The web app answers on port 8000; its log is $log."
