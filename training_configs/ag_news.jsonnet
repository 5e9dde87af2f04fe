// RoBERTa base on AG News, the paper's model. DATA is the folder of train.csv and test.csv, on which the paper
// evaluates.
local classifier = import "classifier.libsonnet";
local data = std.extVar("DATA");

classifier("roberta-base", "ag_news_csv", data + "/train.csv", data + "/test.csv", 3750)
