# Everything lives in xtask/; these are names for it.
.PHONY: help run test check check-macos image conformance fuzz bench package app ui

help: ## Show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 13

run: linker ## Install what is missing, build everything, and bring the example up
	@cargo xtask run

test: linker ## Lints, and every test on real parts
	@cargo xtask test

check: linker ## Formatting and lints
	@cargo xtask check

check-macos: linker ## Type-check, lint and link for macOS; build for arm64 Linux
	@cargo xtask check-macos

package: linker ## Cove.app, its disk image, Homebrew's files and the update, from optimised programs
	@cargo xtask package

image: linker ## Build the guest image
	@cargo xtask image

conformance: linker ## Hold Cove against the Dev Container specification; writes docs/conformance.md
	@cargo xtask conformance

fuzz: linker ## Feed the readers of foreign bytes with made-up input
	@cargo xtask fuzz

bench: linker ## Measure against peers; writes bench/RESULTS.md
	@cargo xtask bench

ui: linker ## Build the page that the daemon and the app show
	@cargo xtask ui

app: linker ## Build the app and open it in this desktop's menu bar
	@cargo xtask app

# The one thing Rust itself needs that a fresh Debian may lack.
.PHONY: linker
linker:
	@command -v cc >/dev/null || { s=; [ "$$(id -u)" = 0 ] || s=sudo; \
	  echo "==> Installing a linker for Rust"; $$s apt-get update -qq && $$s apt-get install -y --no-install-recommends gcc libc6-dev; }
