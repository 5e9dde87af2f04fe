// A classifier that is pooled on its encoder's first position, fine-tuned.
//
// The paper names its model, RoBERTa base, and no hyperparameters. The optimiser, batch size, weight decay and
// the schedule's shape are those that Liu et al. (2019, arXiv 1907.11692), table 10, give for GLUE:
// Adam with betas (.9, .98) and eps 1e-6, linear decay after a warm-up over 6 % of the steps, weight decay .1,
// batches of 16 or 32, learning rate 1e-5 to 3e-5; up to 10 epochs there, fewer here.
function(model_name, reader, train, validation, steps_per_epoch, hidden_size=768, lr=2e-5, epochs=3) {
  local transformer = { type: "pretrained_transformer", model_name: model_name },
  dataset_reader: {
    type: reader,
    tokenizer: transformer { max_length: 128 },
    token_indexers: { tokens: transformer },
  },
  train_data_path: train,
  validation_data_path: validation,
  model: {
    type: "basic_classifier",
    // The namespace of the transformer's word pieces; basic_classifier can't name them without it.
    namespace: "tags",
    text_field_embedder: { token_embedders: { tokens: transformer } },
    seq2vec_encoder: { type: "cls_pooler", embedding_dim: hidden_size },
    feedforward: {
      input_dim: hidden_size,
      num_layers: 1,
      hidden_dims: hidden_size,
      activations: "tanh",
      dropout: 0.1,
    },
  },
  data_loader: {
    batch_sampler: { type: "bucket", batch_size: 32, sorting_keys: ["tokens"] },
  },
  validation_data_loader: {
    batch_sampler: { type: "bucket", batch_size: 64, sorting_keys: ["tokens"] },
  },
  trainer: {
    num_epochs: epochs,
    optimizer: {
      type: "huggingface_adamw",
      lr: lr,
      betas: [0.9, 0.98],
      eps: 1e-6,
      weight_decay: 0.1,
      parameter_groups: [[["bias", "LayerNorm\\.weight"], { weight_decay: 0 }]],
    },
    learning_rate_scheduler: {
      type: "linear_with_warmup",
      warmup_steps: std.floor(0.06 * epochs * steps_per_epoch),
    },
    validation_metric: "+accuracy",
    grad_norm: 1.0,
  },
  random_seed: 13,
  numpy_seed: 13,
  pytorch_seed: 13,
}
