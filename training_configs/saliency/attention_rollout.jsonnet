{ type: "attention-rollout" }
