{ type: "greedy-sufficiency", perturbation: "mask" }
