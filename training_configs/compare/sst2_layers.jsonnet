(import "layers.libsonnet")({ path: std.extVar("DATA") + "/dev.tsv", reader: "sst2_tsv" })
