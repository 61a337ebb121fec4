# A study from its motions to its numbers, stage by stage. The Makefile includes this file; see docs/reproduce.md.
#
#   make reproduce                                                    the built-in motions
#   make reproduce AMASS=DIR BODY_MODELS=DIR GROUP=kit-kinesis-train  motions of the archive
#
# A finished stage leaves a stamp in OUT/.stages. Some stamps hold a text: the options, hashes of the code, the list of
# motions. If the current text differs, the stamp is out of date, and so are all later stages.

# Assigned unconditionally, because some shells export variables of these names; the command line still overrides them.
AMASS :=
BODY_MODELS :=
GROUP :=
PARTIAL :=
TRAIN_SECONDS := 600
STUDY := $(if $(AMASS),$(or $(GROUP),amass)$(if $(BODY_MODELS),,-mean-skeleton),builtin)
OUT := out/study/$(STUDY)

# Stages of `make reproduce` before the comparison. To add training: STUDY_STAGES := report train
STUDY_STAGES := report

STUDY_GOALS := $(filter download retarget validate train report reproduce,$(MAKECMDGOALS))
ifneq ($(STUDY_GOALS),)
ifeq ($(AMASS),)
ifneq ($(GROUP)$(BODY_MODELS),)
$(error GROUP and BODY_MODELS belong to motions of the archive: give AMASS=DIR too)
endif
endif
endif

empty :=
quote = '$(subst ','\'',$(1))'
STAGES := $(subst $(empty) $(empty),\ ,$(OUT))/.stages# as a target: blanks escaped
STAMPS := $(call quote,$(OUT)/.stages)#                 as a word of the shell
CLIPS := $(call quote,$(OUT)/clips)
RUN := $(call quote,$(OUT)/run)
SOURCE := $(call quote,$(or $(AMASS),$(OUT)/source))
PICKED := $(if $(GROUP),--group $(call quote,$(GROUP)))
BODIES := $(if $(BODY_MODELS),--body-models $(call quote,$(BODY_MODELS)))

# Code and packages that determine the numbers of clips. mm-retarget stores the same versions in the clips.
CODE := retarget skeletons datasets pipelines/convert pipelines/clip_bodies.py pipelines/validation.py pipelines/wording.py src/musclemap -name '*.py'
PACKAGES := h5py,jax,jaxlib,mujoco,mujoco_warp,musclemimic_models,numpy,scipy,warp_lang

WRITE_MOTIONS := import sys; from pathlib import Path; \
    from musclemap.datasets.synthetic.synthesis import write_archive; write_archive(Path(sys.argv[1]))

# Commands that print the text of a stamp.
LIST := -type f -printf '%P %s %T@\n' | LC_ALL=C sort | sha256sum
choice_text = printf '%s\n' $(call quote,AMASS=$(AMASS)) $(call quote,GROUP=$(GROUP)) \
    $(call quote,BODY_MODELS=$(BODY_MODELS))
code_text = ( find $(CODE) -exec sha256sum {} + | LC_ALL=C sort; \
    ls -d .venv/lib/python*/site-packages/{$(PACKAGES)}-*.dist-info 2>/dev/null || true )
download_text = { find -L $(SOURCE) -iname '*.npz' $(LIST); \
    $(if $(BODY_MODELS),find -L $(call quote,$(BODY_MODELS)) $(LIST);) }
train_text = printf 'TRAIN_SECONDS=%s\n' $(call quote,$(TRAIN_SECONDS))

# Prerequisites that are always out of date, used if the text of a stamp differs or a file is missing.
changed = $(if $(STUDY_GOALS),$(shell $($(1)_text) 2>/dev/null | cmp -s - $(STAMPS)/$(1) || echo again))
absent = $(if $(STUDY_GOALS),$(shell [ -e $(1) ] || echo again))

.PHONY: download retarget validate train report reproduce again

download: $(STAGES)/download ## Write a study's built-in motions, or check those of AMASS=DIR
retarget: $(STAGES)/retarget ## Convert the study's motions to clips
validate: $(STAGES)/validate ## Check the study's clips, with muscles
train: $(STAGES)/train ## Train a policy on the study's clips for TRAIN_SECONDS and evaluate it
report: $(STAGES)/report ## Write the HTML report on the study's clips
reproduce: $(addprefix $(STAGES)/,$(STUDY_STAGES)) ## Run all stages but train, then compare with expected/STUDY.json
	$(BIN)/mm-reproduce $(CLIPS) $(call quote,$(STUDY))

$(STAGES)/choice: $(call changed,choice)
	@mkdir -p $(STAMPS)
	@$(choice_text) > $(STAMPS)/choice

$(STAGES)/code: $(call changed,code) | .venv/.installed-$(EXTRAS)
	@mkdir -p $(STAMPS)
	@$(code_text) > $(STAMPS)/code

ifeq ($(AMASS),)
$(STAGES)/download: $(STAGES)/choice $(STAGES)/code $(call changed,download)
	$(BIN)/python -c '$(WRITE_MOTIONS)' $(SOURCE)
	@$(download_text) > $(STAMPS)/download
else
# Motions missing from the archive are reported. For a group, they end the study unless PARTIAL is set.
IF_MISSING := $(if $(or $(PARTIAL),$(if $(GROUP),,whole archive)),[ $$? -eq 1 ],{ [ $$? -ne 1 ] || \
    echo "Stopped: motions of the group are missing. PARTIAL=1 continues without them." >&2; false; })
$(STAGES)/download: $(STAGES)/choice $(STAGES)/code $(call changed,download)
	$(BIN)/mm-download --check amass $(PICKED) $(BODIES) $(SOURCE) || $(IF_MISSING)
	@$(download_text) > $(STAMPS)/download
endif

# A motion that cannot be converted (status 1) is named, and counted by the comparison; it does not end the study. Clips
# made by other code are converted again; those of an interrupted run are kept.
$(STAGES)/retarget: $(STAGES)/download $(call absent,$(CLIPS)/manifest.jsonl)
	@[ -e $(CLIPS) ] || cp $(STAMPS)/code $(STAMPS)/code-of-clips
	$(BIN)/mm-retarget --no-report $(PICKED) $(BODIES) \
	    $$(cmp -s $(STAMPS)/code $(STAMPS)/code-of-clips || echo --overwrite) $(SOURCE) $(CLIPS) || [ $$? -eq 1 ]
	@cp $(STAMPS)/code $(STAMPS)/code-of-clips
	@touch $(STAMPS)/retarget

$(STAGES)/validate: $(STAGES)/retarget
	$(BIN)/mm-validate --muscles --no-report $(CLIPS)
	@touch $(STAMPS)/validate

$(STAGES)/report: $(STAGES)/validate $(call absent,$(CLIPS)/report.html)
	$(BIN)/mm-report $(CLIPS)
	@touch $(STAMPS)/report

ifeq ($(shell grep -cE '^mm-(train|eval) =' pyproject.toml),2)
$(STAGES)/train: $(STAGES)/validate $(call changed,train)
	$(BIN)/mm-train --dataset $(CLIPS) --run $(RUN) --max-seconds $(TRAIN_SECONDS) \
	    $$([ ! -e $(RUN)/run.json ] || echo --resume)
	$(BIN)/mm-eval $(RUN) --dataset $(CLIPS) --json > $(call quote,$(OUT)/evaluation.json)
	@$(train_text) > $(STAMPS)/train
else
$(STAGES)/train:
	@echo "Training is not part of this version of musclemap: it has no mm-train and mm-eval." >&2; exit 1
endif
