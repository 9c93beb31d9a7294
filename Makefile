# What is typed often. `make` alone lists it.

GO ?= go
SECONDS ?= 60

.PHONY: help test gate fuzz bench cover build

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

test: ## a sample of the tests, for while working
	$(GO) test -short ./...

gate: ## everything that a change has to pass
	bash .ci/run

fuzz: ## each fuzz target for SECONDS (60)
	bash bench/fuzz.sh $(SECONDS)

bench: ## the emulator beside sshd, nginx and the smallest Go handlers
	$(GO) run ./bench

cover: ## which lines the tests reach, as cover.html
	$(GO) test -short -coverpkg=./... -coverprofile=cover.out ./...
	$(GO) tool cover -html=cover.out -o cover.html

build: ## both programs, in this directory
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='-s -w' ./cmd/upgrademock ./cmd/odoo-upgrade
