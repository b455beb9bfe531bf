package model

// Recipe is how a preset is best trained: defaults for the flags of a trainer.
type Recipe struct {
	Batch        int
	Epochs       int
	LearningRate float64
	Momentum     float64
	WeightDecay  float64
	Schedule     string  // "constant", "step" or "plateau"
	DropAt       []int   // step: the epochs (from 0) before which the rate is multiplied by Factor
	Factor       float64 // what a drop multiplies the learning rate by
}

// Recipe returns the recommended training of the preset that the net is named
// for, and the paper's for any other net.
func (n *Net) Recipe() Recipe {
	if n.Name == "alexnet-small" {
		return Recipe{Batch: 32, Epochs: 10, LearningRate: 0.005, Momentum: 0.9, WeightDecay: 0.0005,
			Schedule: "step", DropAt: []int{7, 9}, Factor: 0.1}
	}
	return Recipe{Batch: 128, Epochs: 90, LearningRate: 0.01, Momentum: 0.9, WeightDecay: 0.0005,
		Schedule: "plateau", Factor: 0.1}
}
