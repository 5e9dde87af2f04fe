// RoBERTa base on SST-2, the paper's model. DATA is the folder of GLUE's train.tsv and dev.tsv.
local classifier = import "classifier.libsonnet";
local data = std.extVar("DATA");

classifier("roberta-base", "sst2_tsv", data + "/train.tsv", data + "/dev.tsv", 2105)
