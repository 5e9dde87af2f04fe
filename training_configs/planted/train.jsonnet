// The bundled language model, fine-tuned on texts with a shortcut planted in them.
local data = import "data.libsonnet";
local reader = data.pieces("fixtures/sst-roberta-mlm");

(import "../bundled/sst2.jsonnet") + {
  dataset_reader: data.planted("some", reader) + { max_instances: 15000 },
  validation_dataset_reader: data.planted("all", reader),
  train_data_path: data.train,
  validation_data_path: data.test,
  // What is in one text of fifty is learnt by higher learning rates, and in more passes.
  trainer+: {
    num_epochs: data.epochs,
    optimizer+: { lr: 5e-4 },
    learning_rate_scheduler+: { warmup_steps: 200 },
  },
  random_seed: data.seed,
  numpy_seed: data.seed,
  pytorch_seed: data.seed,
}
