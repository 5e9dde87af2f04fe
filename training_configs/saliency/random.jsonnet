{ type: "random", seed: 0 }
