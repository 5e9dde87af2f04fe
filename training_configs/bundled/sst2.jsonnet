// Fine-tunes the bundled masked language model on SST-2; fixtures/README.md has the commands.
local model_name = "fixtures/sst-roberta-mlm";

{
  dataset_reader: {
    type: "text_classification_json",
    text_key: "sentence",
    tokenizer: { type: "pretrained_transformer", model_name: model_name },
    token_indexers: { tokens: { type: "pretrained_transformer", model_name: model_name } },
  },
  train_data_path: std.extVar("SST2") + "/train.jsonl",
  validation_data_path: std.extVar("SST2") + "/dev.jsonl",
  model: {
    type: "basic_classifier",
    // The namespace of the transformer's word pieces; basic_classifier can't name them without it.
    namespace: "tags",
    text_field_embedder: {
      token_embedders: {
        tokens: {
          type: "pretrained_transformer",
          model_name: model_name,
          transformer_kwargs: { hidden_dropout_prob: 0.2, attention_probs_dropout_prob: 0.1 },
        },
      },
    },
    seq2vec_encoder: { type: "cls_pooler", embedding_dim: 160 },
    dropout: 0.2,
  },
  data_loader: {
    batch_sampler: { type: "bucket", batch_size: 32, sorting_keys: ["tokens"] },
  },
  validation_data_loader: { batch_size: 64 },
  trainer: {
    num_epochs: 2,
    cuda_device: -1,
    optimizer: {
      type: "huggingface_adamw",
      lr: 1e-4,
      weight_decay: 0.01,
      parameter_groups: [[["bias", "LayerNorm\\.weight"], { weight_decay: 0 }]],
    },
    learning_rate_scheduler: { type: "linear_with_warmup", warmup_steps: 300 },
    validation_metric: "+accuracy",
    grad_norm: 1.0,
  },
  random_seed: 13,
  numpy_seed: 13,
  pytorch_seed: 13,
}
