// The classifier of sst2_local.jsonnet before any training: its encoder is the pre-trained one.
(import "sst2_local.jsonnet") + { trainer: { type: "no_op" } }
