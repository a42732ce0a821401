# Every target runs in its own environment, .venv, which needs nothing but Python 3.11 or newer to be made.
PYTHON := .venv/bin/python
CONSTRAINTS := .ci/constraints.txt
INSTALLED := .venv/.installed
TORCH := torch==2.13.0
RELEASE := build/release

.DEFAULT_GOAL := help
.PHONY: help setup pretrain test upstream lint docs package release bench

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: $(INSTALLED) ## install the package and its pinned dependencies into .venv

# torch comes first and by its exact version, so that a local build of it (CPU-only, say) is kept by the second line.
$(INSTALLED): pyproject.toml $(CONSTRAINTS)
	python3 -m venv .venv
	$(PYTHON) -m pip install --quiet -c $(CONSTRAINTS) $(TORCH)
	$(PYTHON) -m pip install --quiet -c $(CONSTRAINTS) -e '.[dev]'
	touch $@

pretrain: setup ## train the default multitask recipe (ARGS=--overwrite to train it again)
	.venv/bin/accelerate launch --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no \
		training/pretrain.py $(ARGS)

test: setup ## run the tests (without the slow ones)
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 2 --dist worksteal --durations 40

upstream: setup ## run transformers' own tests on the models (fetches its sources)
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -m upstream -rsx tests/upstream

lint: setup ## check style and types
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy asen_hf

docs: setup ## build the site, strictly, into build/site
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --config-file .mkdocs.yml

# Without isolation, so that the pinned hatchling builds it.
package: setup ## build the sdist, and from it the wheel, into dist/
	rm -rf dist
	$(PYTHON) -m build --no-isolation

# The tests run in a copy of the last commit whose asen_hf is what the wheel installed.
release: ## build what is committed, check what an index would show, and run the tests on the wheel
	@test -z "$$(git status --porcelain)" || { echo "commit or remove first:"; git status --short; exit 1; }
	$(MAKE) package
	rm -rf $(RELEASE) && mkdir -p $(RELEASE)/tree
	python3 -m venv $(RELEASE)/venv
	$(RELEASE)/venv/bin/pip install --quiet -c $(CONSTRAINTS) $(TORCH)
	$(RELEASE)/venv/bin/pip install --quiet -c $(CONSTRAINTS) "$$(ls dist/*.whl)[dev]" twine
	$(RELEASE)/venv/bin/twine check --strict dist/*
	git archive HEAD | tar --extract --directory $(RELEASE)/tree --exclude 'asen_hf'
	ln -s "$$($(RELEASE)/venv/bin/python -P -c 'import asen_hf; print(*asen_hf.__path__)')" $(RELEASE)/tree/asen_hf
	cd $(RELEASE)/tree && OMP_NUM_THREADS=1 ../venv/bin/python -m pytest -n 2 --dist worksteal
	@echo "ready: git tag v$$($(RELEASE)/venv/bin/asen --version | sed 's/.* //') && twine upload dist/*"

bench: setup ## measure speed and memory (METR_LA=file.npz for its roads)
	$(PYTHON) tests/benchmarks/attention_kernels.py $(METR_LA)
	$(PYTHON) tests/benchmarks/variants.py
	$(PYTHON) tests/benchmarks/scaling.py
	$(PYTHON) tests/benchmarks/triples.py
	$(PYTHON) tests/benchmarks/group_engine.py
