// As train.jsonnet, from a local folder, MODEL, with a small encoder.
local classifier = import "../classifier.libsonnet";
local data = import "data.libsonnet";
local model = std.extVar("MODEL");
local reader = data.pieces(model);

classifier(model, null, data.train, data.test, 469, hidden_size=384, lr=1e-4) + {
  dataset_reader: data.planted("some", reader) + { max_instances: 15000 },
  validation_dataset_reader: data.planted("all", reader),
  random_seed: data.seed,
  numpy_seed: data.seed,
  pytorch_seed: data.seed,
}
