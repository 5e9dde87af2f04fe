{ type: "greedy-comprehensiveness", perturbation: "mask" }
