// A classifier of TRAIN, tested on TEST, both read by READER, from a local encoder of base size, MODEL, in one pass of
// BATCHES batches.
local classifier = import "classifier.libsonnet";

classifier(
  std.extVar("MODEL"), std.extVar("READER"), std.extVar("TRAIN"), std.extVar("TEST"),
  std.parseInt(std.extVar("BATCHES")), lr=3e-5, epochs=1
)
