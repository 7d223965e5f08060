# Sourced by the test scripts of features. POSIX, so that it works in images without bash as well.

SCRIPT_FOLDER="$(cd "$(dirname "$0")" && pwd)"
USERNAME=${1:-root}
HOME=${HOME:-/root}

# The labels of the checks that failed, each in quotes.
FAILED=""

echoStderr() {
    echo "$@" >&2
}

recordFailure() {
    echoStderr "❌ $1 check failed."
    FAILED="$FAILED '$1'"
    return 1
}

# check LABEL COMMAND [ARGUMENT…]: passes where the command ends well.
check() {
    LABEL=$1
    shift
    printf '\n🔄 Testing '\''%s'\''\n' "$LABEL"
    if "$@"; then
        printf '\n✅ Passed '\''%s'\''!\n' "$LABEL"
    else
        recordFailure "$LABEL"
    fi
}

# checkMultiple LABEL MINIMUM EXPRESSION…: passes where at least that many of the expressions end well.
checkMultiple() {
    LABEL=$1
    MINIMUMPASSED=$2
    shift 2
    PASSED=0
    printf '\n🔄 Testing '\''%s'\''\n' "$LABEL"
    for EXPRESSION in "$@"; do
        # Words of an expression are split here, as callers expect.
        if $EXPRESSION; then PASSED=$((PASSED + 1)); fi
    done
    if [ "$PASSED" -ge "$MINIMUMPASSED" ]; then
        printf '\n✅ Passed '\''%s'\''!\n' "$LABEL"
    else
        recordFailure "$LABEL"
    fi
}

# Ends the script: well, if every check passed.
reportResults() {
    if [ -n "$FAILED" ]; then
        echoStderr "💥 Failed tests:$FAILED"
        exit 1
    fi
    printf '\nTest Passed!\n'
    exit 0
}
