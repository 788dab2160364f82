# `make` alone lists the targets.  Nothing has to be installed first but python3:
# the targets that need packages put them into .venv.

PYTHON ?= python3
VENV = .venv/bin/python

help:
	@echo 'make demo         the four servers side by side, the same scenes against each'
	@echo 'make servers      start the four on 6401-6404 and wait for Ctrl-C'
	@echo 'make test         check our servers (makes .venv by itself)'
	@echo 'make check STAGE=2 SERVER="./mine --port {port}"     check yours (needs pytest)'
	@echo 'make test-broken  prove that the suite catches every server in tests/broken (slow)'
	@echo 'make test-notebooks   re-execute the notebooks, build and check the site (slow)'
	@echo 'make soak         simulate until Ctrl-C, or SECONDS=600'
	@echo 'make notebooks    execute the notebooks in place'
	@echo 'make lab          open JupyterLab on the notebooks'
	@echo 'make site         build site/index.html and the slides'
	@echo 'make bench        measure everything (QUICK=1: under a minute)'
	@echo 'make clean        remove what the targets made'

demo:
	@$(PYTHON) notebooks/lab/demo.py

servers:
	@$(PYTHON) notebooks/lab/demo.py --servers

.PHONY: help demo servers
