# podidentd: three commands do everything on a fresh machine.
#
#   make demo    sets up, builds, and runs the main job on the embedded lab
#   make attack  the same for the attack suite
#   make test    sets up, builds, lints, and runs every test
#
# They need root: they attach to the kernel and make namespaces and cgroups.

SHELL := /bin/bash
.DEFAULT_GOAL := build
# Several targets install packages, which one at a time can do. What -j says is for the kernel programs.
.NOTPARALLEL:

# Which Swift is used, here and by all that is called below: in PATH, or by its path.
SWIFT ?= swift
override SWIFT := $(if $(findstring /,$(SWIFT)),$(abspath $(SWIFT)),$(SWIFT))
export SWIFT
BUILD := .build/debug

# KEEP=0 says the same as nothing.
override KEEP := $(filter-out 0,$(KEEP))
override JSON := $(filter-out 0,$(JSON))
override QUICK := $(filter-out 0,$(QUICK))
override CLOUDS := $(filter-out 0,$(CLOUDS))
override SPIFFE := $(filter-out 0,$(SPIFFE))

# Options that are numbers: target, option, least and most; those of the second list are above 0, and may have a decimal point.
# A wrong one is refused before anything is done.
WHOLE := fuzz.ITERATIONS.1.1000000000 faults.SECONDS.1.100 soak.MINUTES.1.1440 dashboard.MINUTES.1.1440 million.CONNECTIONS.1.1000000000 \
	million.PODS.1.500 simulate.SEEDS.1.1000000000 simulate.PODS.1.500 simulate.BESIDE.1.1000000000 \
	fleet.NODES.5.100000 fleet.BEFORE.5.100000 kernels.MACHINES.1.64 busy.RUNS.1.1000 bench.STARTS.1.10000
DECIMAL := fuzz-coverage.MINUTES simulate.HOURS simulate.MINUTES
LAYOUTS := cgroupfs systemd nested nested-systemd nested-3 nested-3-systemd
RELEASES := sid trixie bookworm bullseye
DIGITS := 1 2 3 4 5 6 7 8 9 0
# The text $(2) without the words of the list $(1).
without = $(if $(1),$(call without,$(wordlist 2,$(words $(1)),$(1)),$(subst $(firstword $(1)),,$(2))),$(2))
# Whether $(1) is no one word of digits, with or without a point $(2).
strange = $(filter-out 1,$(words $(1)))$(filter-out $(2),$(call without,$(DIGITS),$(1)))
beyond = $(shell [ $(1) -ge $(2) ] 2> /dev/null && [ $(1) -le $(3) ] 2> /dev/null || echo beyond)
# Takes the words of one entry.
check_whole = $(if $(and $(filter $(1),$(MAKECMDGOALS)),$($(2))),$(if $(call strange,$($(2))),$(no_whole),$(if $(call beyond,$($(2)),$(3),$(4)),$(no_whole))))
no_whole = $(error $(2) is a whole number from $(3) to $(4), and not '$($(2))': 'make help' says what it is for)
check_decimal = $(if $(and $(filter $(1),$(MAKECMDGOALS)),$($(2))),$(if $(call strange,$($(2)),.),$(no_decimal),$(if $(call without,. 0,$($(2))),,$(no_decimal))))
no_decimal = $(error $(2) is a number above 0, and not '$($(2))': 'make help' says what it is for)
word_of = $(word $(2),$(subst ., ,$(1)))
$(foreach each,$(WHOLE),$(call check_whole,$(call word_of,$(each),1),$(call word_of,$(each),2),$(call word_of,$(each),3),$(call word_of,$(each),4)))
$(foreach each,$(DECIMAL),$(call check_decimal,$(call word_of,$(each),1),$(call word_of,$(each),2)))
$(if $(filter demo attack,$(MAKECMDGOALS)),$(if $(filter-out $(LAYOUTS),$(LAYOUT)),$(error LAYOUT is one of $(LAYOUTS), and not '$(LAYOUT)')))
$(if $(filter kernels,$(MAKECMDGOALS)),$(if $(filter-out $(RELEASES),$(KERNELS)),$(error KERNELS are some of $(RELEASES), and not '$(KERNELS)')))

.PHONY: help setup setup-clients bpf build lint test deploy-test golden image cluster arm64 fuzz fuzz-coverage faults conformance spiffe demo \
	clients attack cost soak simulate fleet reference captures dashboard memory million storm bench .bench-options .image-options bench-test ci-test busy cases rooms model model-test kernels clean

help: ## Lists the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: ## Installs the system packages that are missing
	@bash .ci/setup

setup-clients: setup ## Installs the real clients that tests run inside pods
	@bash .ci/setup-clients

bpf: setup ## Compiles the kernel programs
	@$(MAKE) --no-print-directory -C bpf

build: bpf ## Builds everything, tests included
	@echo "Building (the first time takes some minutes)"
	@$(SWIFT) build --build-tests --explicit-target-dependency-import-check error

lint: ## Checks the format of every Swift file
	@bash .ci/need-swift
	@$(SWIFT) format lint --strict --recursive --parallel Sources Lab Benchmarks/request-cost Tests Package.swift

test: build lint setup-clients ## Runs every test, with the real kernel
	@.ci/test

deploy-test: ## Renders and checks what is in deploy/
	@bash .ci/deploy-tests

golden: ## Writes the rendered manifests in deploy/golden
	@bash .ci/deploy-tools
	@.build/deploy/venv/bin/python deploy/tests/golden.py

.image-options:
	@$(if $(IMAGE),bash deploy/image/name '$(IMAGE)')

image: .image-options build ## Builds the container image into .build/image, and starts it; IMAGE=REGISTRY/PATH:TAG (other name)
	@bash .ci/deploy-tools
	@IMAGE="$(IMAGE)" bash deploy/image/build

cluster: bpf ## Follows docs/quickstart.md on a real Kubernetes 1.20, compiled from Debian's source (the first time half an hour; resumes)
	@.ci/cluster check
	@bash .ci/install containerd runc containernetworking-plugins iptables iproute2 procps busybox-static curl openssl buildah libdeflate-tools python3
	@bash .ci/deploy-tools
	@$(SWIFT) build --product kubectl-podidentd
	@.ci/cluster build
	@deploy/image/build
	@deploy/image/build-lab
	@.ci/cluster try

arm64: bpf ## Builds programs, image and unit tests for arm64 by cross compilation, and runs them under qemu (1.2 GB from Debian)
	@bash .ci/install buildah libdeflate-tools python3 binutils ca-certificates
	@deploy/image/pin
	@$(SWIFT) package resolve
	@.ci/arm64

fuzz: build ## Feeds every parser ITERATIONS inputs made from seeds (default: 100000)
	@PODIDENTD_FUZZ_ITERATIONS=$(or $(ITERATIONS),100000) $(SWIFT) test --skip-build --disable-xctest --no-parallel \
		--filter FuzzTests

fuzz-coverage: build ## Fuzzes decision headers, messages and parsers with libFuzzer for MINUTES in all (default: 3); KEEP=1 keeps what it reached
	@command -v python3 > /dev/null || bash .ci/install python3
	@MINUTES=$(MINUTES) KEEP=$(KEEP) .ci/fuzz-coverage

faults: build ## Runs the fault table; SECONDS: how long the agent is stopped, up to 100 (default: 30)
	@PODIDENTD_STOP_SECONDS=$(or $(SECONDS),30) $(SWIFT) test --skip-build --disable-xctest --no-parallel \
		--filter FaultTests

conformance: build ## Runs the numbered cases of the three metadata protocols, one line each
	@bash .ci/setup-clients all
	@.ci/conformance

spiffe: build setup-clients ## Runs the numbered cases of the SPIFFE checklist, one line each, with Envoy, OpenBao and PostgreSQL
	@bash .ci/setup-spiffe
	@.ci/spiffe

demo: bpf ## Runs the main job; KEEP=1 leaves it running, LAYOUT=nested makes a node like kind's (also nested-3, systemd, ...)
	@echo "Building (the first time takes some minutes)"
	@for product in podidentd podidentd-init podidentd-opener podidentd-signer podidentd-lab; do $(SWIFT) build --product $$product || exit; done
	@$(BUILD)/podidentd-lab demo $(if $(KEEP),--keep) $(if $(LAYOUT),--layout $(LAYOUT))

clients: bpf setup ## Runs real clients inside pods and prints what each got
	@bash .ci/setup-clients all
	@echo "Building (the first time takes some minutes)"
	@for product in podidentd podidentd-opener podidentd-lab; do $(SWIFT) build --product $$product || exit; done
	@$(BUILD)/podidentd-lab clients

attack: bpf ## Attacks a running agent in every known way (some 10 minutes), and prints what each got; LAYOUT as for demo
	@echo "Building (the first time takes some minutes)"
	@for product in podidentd podidentd-init podidentd-opener podidentd-signer podidentd-lab lab-attack; do $(SWIFT) build --product $$product || exit; done
	@$(BUILD)/podidentd-lab attack $(if $(LAYOUT),--layout $(LAYOUT))
	@echo; echo "The same without each guard"
	@$(BUILD)/podidentd-lab attack --guards-off

cost: ## Counts what a cached token costs, in instructions, and compares with the committed limits
	@bash .ci/install python3 valgrind binutils strace
	@.ci/cost

soak: bpf ## Mixed load with churn for MINUTES (default: 30): is the agent the same at the end? JSON=1 for machines
	@for product in podidentd podidentd-opener podidentd-lab; do $(SWIFT) build --product $$product || exit; done >&2
	@$(BUILD)/podidentd-lab soak --minutes $(or $(MINUTES),30) $(if $(JSON),--json)

dashboard: bpf ## Records MINUTES (default: 6) of a soak with a real Prometheus, and draws the dashboard into docs/operate/dashboard.svg
	@bash .ci/deploy-tools
	@for product in podidentd podidentd-opener podidentd-lab; do $(SWIFT) build --product $$product || exit; done
	@deploy/observability/record $(BUILD)/podidentd-lab docs/operate/dashboard.svg $(or $(MINUTES),6)

memory: bpf ## What the agent needs when all of 110 pods take all that the limits allow, within the manifest's memory limit
	@echo "Building for release (the first time takes some minutes)"
	@.ci/release podidentd podidentd-opener podidentd-lab lab-attack
	@.build-release/release/podidentd-lab memory

million: bpf ## A million connections from pods that come and go: 0 wrong? CONNECTIONS (default: 1000000), PODS (110), SPIFFE=1
	@echo "Building for release (the first time takes some minutes)"
	@.ci/release podidentd podidentd-opener podidentd-lab $(if $(SPIFFE),podidentd-signer)
	@.build-release/release/podidentd-lab million $(if $(SPIFFE),--spiffe) --connections $(or $(CONNECTIONS),1000000) --pods $(or $(PODS),110)

storm: bpf ## What share of 200 cold pods that ask at the same moment is served at the first try, on a busy node
	@echo "Building for release (the first time takes some minutes)"
	@.ci/release podidentd podidentd-opener podidentd-lab lab-attack
	@.build-release/release/podidentd-lab storm

simulate: bpf ## The agent's decisions in a simulated world: SEEDS (10000) of HOURS (24) with PODS (2), then BESIDE (300) of three nodes, for MINUTES (28) at most, and again for the rest; writes docs/simulation.md
	@command -v python3 > /dev/null || bash .ci/install python3
	@echo "Building for release (the first time takes some minutes)"
	@.ci/release podidentd-lab
	@.ci/simulate --seeds $(or $(SEEDS),10000) --hours $(or $(HOURS),24) --minutes $(or $(MINUTES),28) --pods $(or $(PODS),2) --beside $(or $(BESIDE),300)

fleet: bpf ## Thousands of agents before Google's quotas, in virtual time: NODES (5000), BEFORE (250, without pacing); writes docs/scale.md
	@command -v python3 > /dev/null || bash .ci/install python3
	@echo "Building for release (the first time takes some minutes)"
	@.ci/release podidentd-lab
	@.ci/fleet --nodes $(or $(NODES),5000) --before $(or $(BEFORE),250)

reference: bpf ## Writes the tables of docs/operate/configuration.md from the code
	@$(SWIFT) build --product podidentd
	@sed -i '/^## Without a section$$/,$$d' docs/operate/configuration.md
	@$(BUILD)/podidentd config --markdown >> docs/operate/configuration.md

cases: ## Writes docs/conformance.md, the numbered cases of make conformance
	@command -v python3 > /dev/null || bash .ci/install python3
	@python3 .ci/conformance_page.py

rooms: ## Writes the table of sizes in docs/ARCHITECTURE.md
	@command -v python3 > /dev/null || bash .ci/install python3
	@python3 .ci/room_sizes.py

captures: bpf ## Writes docs/operate/debug.md and kubectl.md: what the debug commands print, from runs in the lab
	@bash .ci/deploy-tools
	@for product in podidentd podidentd-opener podidentd-lab kubectl-podidentd; do $(SWIFT) build --product $$product || exit; done
	@$(BUILD)/podidentd-lab captures docs/operate/debug.md --plugin docs/operate/kubectl.md

BENCH_CLOUDS = python3 Benchmarks/clouds.py $(if $(AGENT),--agent $(AGENT)) $(if $(ONLY),--only $(ONLY))
BENCH_SPIFFE = python3 Benchmarks/spiffe.py $(if $(AGENT),--agent $(AGENT)) $(if $(ONLY),--only $(ONLY)) $(if $(QUICK),--quick)
BENCH_FIGURES = python3 Benchmarks/bench.py $(if $(BEFORE),--before $(BEFORE)) $(if $(AGENT),--agent $(AGENT)) $(if $(ONLY),--only $(ONLY)) \
	$(if $(ROWS),--rows $(ROWS)) $(if $(STARTS),--starts $(STARTS)) \
	$(if $(QUICK),--quick --output .build-bench/quick.json --baseline Benchmarks/results/latest.json)

# Before anything is built: options that the chosen benchmark does not have, or values that it does not take.
.bench-options:
	$(if $(and $(CLOUDS)$(SPIFFE),$(BEFORE)$(ROWS)$(STARTS)),$(error BEFORE, ROWS and STARTS are options of the figures: leave them out with CLOUDS and SPIFFE))
	$(if $(and $(CLOUDS),$(QUICK)),$(error CLOUDS has no QUICK: name parts, such as ONLY=cached))
	@command -v python3 > /dev/null || bash .ci/install python3
	@$(if $(CLOUDS),$(BENCH_CLOUDS) --check)
	@$(if $(SPIFFE),$(BENCH_SPIFFE) --check)
	@$(if $(CLOUDS)$(SPIFFE),,$(BENCH_FIGURES) --check)

bench: .bench-options bpf ## Measures beside references and draws; QUICK=1, ONLY=1,5 (figures), AGENT=path (other binary), BEFORE=checkout (2d21139), CLOUDS=1, SPIFFE=1
	@echo "Building for release (the first time takes some minutes)"
	@.ci/release podidentd-lab podidentd-opener podidentd-init $(if $(AGENT),,podidentd) $(if $(SPIFFE),podidentd-signer)
	@$(if $(CLOUDS),bash .ci/setup-clients all)
	@$(if $(SPIFFE),bash .ci/setup-clients && bash .ci/install nghttp2-client)
	@$(if $(CLOUDS),$(BENCH_CLOUDS))
	@$(if $(SPIFFE),$(BENCH_SPIFFE))
	@$(if $(CLOUDS)$(SPIFFE),,$(BENCH_FIGURES))
	@$(if $(CLOUDS)$(SPIFFE),,python3 Benchmarks/draw.py $(if $(QUICK),.build-bench/quick.json .build-bench/figures))
	@$(if $(QUICK)$(CLOUDS)$(SPIFFE),,python3 Benchmarks/readme.py)

bench-test: ## Tests what computes and draws the benchmarks' figures
	@command -v python3 > /dev/null || bash .ci/install python3
	@python3 -m unittest discover --quiet --start-directory Benchmarks/tests --top-level-directory Benchmarks

model-test:
	@QUICK=1 .ci/model

ci-test: ## Tests what runs the tests
	@bash .ci/need-swift
	@command -v python3 > /dev/null || bash .ci/install python3
	@python3 -m unittest discover --quiet --start-directory .ci/tests --top-level-directory .ci

model: ## Tries every order of a take-over at accept, with the shipped programs and with a rule taken out; QUICK=1
	@command -v python3 > /dev/null || bash .ci/install python3
	@QUICK=$(QUICK) .ci/model

kernels: build ## Runs the kernel rings on Debian's kernels, emulated (some 15 minutes each); KERNELS='bookworm sid', MACHINES=2
	@KERNELS="$(KERNELS)" MACHINES=$(or $(MACHINES),1) .ci/kernels

busy: build ## Runs every test RUNS times (default: 10) beside two busy loops, a row of Benchmarks/results/busy.md each; FILTER=suite (those that match)
	@.ci/busy $(or $(RUNS),10) '$(FILTER)'

clean: ## Removes what was built, and what killed labs left behind
	@if [ -x $(BUILD)/podidentd-lab ]; then $(BUILD)/podidentd-lab clean; fi
	@$(MAKE) --no-print-directory -C bpf clean
	@rm -rf .build .build-release .build-bench .build-arm64 .build-cluster
