# `make` alone lists the targets.  Nothing has to be installed first but python3:
# the targets that need packages put them into .venv by themselves.

PYTHON ?= python3
VENV_PYTHON = .venv/bin/python
LAB = PYTHONPATH=notebooks

.PHONY: help demo play steps-not-step step-not-steps servers history history-save run start test-packages notebook-packages test check test-broken test-notebooks soak notebooks lab site bench clean

help:
	@echo 'make demo             the four servers side by side, tried the same way'
	@echo 'make demo STEPS="3.8 4.1 4.2 4.3"   the same for steps'
	@echo 'make play             one prompt for all four (STEPS=: for steps)'
	@echo 'make servers          start the four on ports 6401-6404 and wait for Ctrl-C'
	@echo 'make run STEP=4.2     run the server of one step (PORT=6404: there)'
	@echo 'make start STEP=3.4 DIR=../mine   the program before a step, and what to do'
	@echo 'make history          history/: all steps as a git repository, to read and to change'
	@echo 'make history-save     write the steps and the milestones from history/'
	@echo 'make test             check our four servers'
	@echo 'make check STAGE=2 SERVER="./mine --port {port}"   check yours (needs pytest)'
	@echo 'make test-broken      prove that the suite catches every wrong server and passes every right one'
	@echo 'make test-notebooks   re-execute the notebooks, build the site and check both'
	@echo 'make soak SECONDS=60  simulate milestones 3 and 4 for that long'
	@echo 'make notebooks        execute the notebooks and write their outputs in place'
	@echo 'make lab              open JupyterLab on the notebooks'
	@echo 'make site             build site/index.html and the slides'
	@echo 'make bench            compare the speed of everything (QUICK=1: under a minute)'
	@echo 'make clean            remove .venv, the site and all caches'

# What is typed, such as STEPS=..., is in the environment of a recipe: so its quotes need no care.
demo: steps-not-step
	@$(LAB) $(PYTHON) -m lab.demo $${STEPS:+--steps $$STEPS}

play: steps-not-step
	@$(LAB) $(PYTHON) -m lab.play $$STEPS

steps-not-step:
	@$(if $(STEP),echo 'several steps are compared: STEPS="3.8 4.1"' >&2; exit 2,:)

step-not-steps:
	@$(if $(STEPS),echo 'one step at a time: STEP=4.1' >&2; exit 2,:)

servers:
	@$(LAB) $(PYTHON) -m lab.demo --servers

history:
	@$(LAB) $(PYTHON) -m lab.history build

history-save:
	@$(LAB) $(PYTHON) -m lab.history save

run: step-not-steps
	@if [ -z "$$STEP" ]; then echo 'usage: make run STEP=4.2 [PORT=6404]' >&2; exit 2; fi
	@$(LAB) $(PYTHON) -m lab.history run "$$STEP" $${PORT:+"$$PORT"}

start: step-not-steps
	@if [ -z "$$STEP" ] || [ -z "$$DIR" ]; then \
	  echo 'usage: make start STEP=3.4 DIR=../mine' >&2; exit 2; fi
	@$(LAB) $(PYTHON) -m lab.lessons.task "$$STEP" "$$DIR"

# Some Debians have venv without pip, others neither; then pip installs from outside.
$(VENV_PYTHON):
	@[ -w . ] || { echo '.venv has no place in a folder that is read-only; work in a copy' >&2; exit 1; }
	@echo 'setting up .venv (once)'
	@$(PYTHON) -m venv .venv >/dev/null 2>&1 \
	  || { rm -rf .venv && $(PYTHON) -m pip --version >/dev/null 2>&1 \
	       && $(PYTHON) -m venv --without-pip .venv \
	       && $(PYTHON) -m pip --python $(VENV_PYTHON) install --quiet pip; } \
	  || { rm -rf .venv; \
	       echo 'cannot make .venv; on Debian or Ubuntu type: sudo apt install python3-venv' >&2; \
	       exit 1; }

# PIP_USER=1, where somebody has set it, would be refused inside .venv.
INSTALL = PIP_USER=0 $(VENV_PYTHON) -m pip install --quiet --disable-pip-version-check -r $< \
  >.venv/pip.log 2>&1 \
  || { echo 'cannot install what $< names; without a network nothing can be installed' \
         '(what pip says: .venv/pip.log)' >&2; exit 1; }

.venv/test-packages: requirements.txt | $(VENV_PYTHON)
	@$(INSTALL)
	@touch $@

.venv/notebook-packages: requirements-notebooks.txt .venv/test-packages
	@echo 'installing jupyter into .venv (once, a minute or two)'
	@$(INSTALL)
	@touch $@

# A .venv whose Python has gone or was replaced, or that was never finished, has no pip that works.
test-packages notebook-packages:
	@[ ! -e .venv ] || $(VENV_PYTHON) -c 'import pip' 2>/dev/null \
	  || { echo '.venv does not work any more: making it anew'; rm -rf .venv; }
	@$(MAKE) -s --no-print-directory .venv/$@

test: test-packages
	@env -u STAGE -u STEP -u SERVER -u CLIENT $(VENV_PYTHON) -m pytest tests --ignore=tests/notebooks \
	  -n 2 --dist loadfile

# Any python3 with pytest 7 will do; without one .venv is made.  A $ in SERVER arrives, too.
# It stops after the first rule that fails, which is the first thing to mend.
export JUDGED := $(value SERVER)
export JUDGED_CLIENT := $(value CLIENT)
check:
	@missing=; [ -n "$$STAGE$$STEP" ] || missing=' STAGE'; [ -n "$$JUDGED$$JUDGED_CLIENT" ] || missing="$$missing SERVER"; \
	if [ -n "$$missing" ]; then echo "make check: not given:$$missing" >&2; \
	  echo 'usage: make check STAGE=2 SERVER="./mine --port {port}", or CLIENT=... for a client' >&2; \
	  echo '       STEP=2.3 instead of STAGE, ONLY=1, ALL=1, TEST=name, STRICT=1, DIALECT=echo:' \
	    'see tests/README.md' >&2; exit 2; fi
	@python='$(PYTHON)'; "$$python" -c 'from pytest import version_tuple' 2>/dev/null \
	  || { python='$(VENV_PYTHON)'; $(MAKE) -s --no-print-directory test-packages; } \
	  && JUDGED_BY_MAKE=1 SERVER="$$JUDGED" CLIENT="$$JUDGED_CLIENT" "$$python" -m pytest tests -q $(if $(ALL),,--first -rN) \
	    $${TEST:+-k "$$TEST"} $${DIALECT:+--dialect "$$DIALECT"}

test-broken: test-packages
	@$(VENV_PYTHON) -m pytest tests/broken/prove_broken.py tests/foreign/prove_foreign.py

test-notebooks: notebook-packages
	@$(VENV_PYTHON) -m pytest tests/notebooks

soak:
	@$(PYTHON) tests/simulation/soak.py $(if $(SECONDS),--seconds $(SECONDS))

notebooks: notebook-packages
	@$(LAB) $(VENV_PYTHON) -m lab.publish.execute

lab: notebook-packages
	@$(LAB) JUPYTER_PATH= $(VENV_PYTHON) -m jupyter lab notebooks $(if $(filter 0,$(shell id -u)),--allow-root)

site: notebook-packages
	@$(LAB) $(VENV_PYTHON) -m lab.publish.site

bench: notebook-packages
	@$(LAB) $(VENV_PYTHON) -m lab.bench $(if $(QUICK),--quick)

clean:
	rm -rf .venv site .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
