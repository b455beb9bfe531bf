package model

// Recipe is how a preset is best trained: defaults for the flags of a trainer.
type Recipe struct {
	Batch        int     `json:"batch"`
	Epochs       int     `json:"epochs"`
	LearningRate float64 `json:"learning_rate"`
	Momentum     float64 `json:"momentum"`
	WeightDecay  float64 `json:"weight_decay"`
	Schedule     string  `json:"schedule"`          // "step" or "plateau"
	DropAt       []int   `json:"drop_at,omitempty"` // step: the epochs (from 0) before which the rate is multiplied by Factor
	Factor       float64 `json:"factor"`            // what a drop multiplies the learning rate by
	Color        string  `json:"color"`             // "none", "stddev" or "eigenvalue": the scale of colour shifts
	// ColorEpochs, if not 0, is the number of epochs after which colours are left as
	// they are.
	ColorEpochs int `json:"color_epochs,omitempty"`
	// ColorDivisor, if not 0, divides images while their colours are shifted, so that
	// they do not vary more than those of the test.
	ColorDivisor float64 `json:"color_divisor,omitempty"`
	// CropGroup, if not 0, is the number of consecutive images that share a crop and a
	// flip.
	CropGroup int `json:"crop_group,omitempty"`
	// InclusiveCrops widens the random crops by the last offset: 33x33 of them for
	// crops of 224 from 256, not the paper's 32x32.
	InclusiveCrops bool `json:"inclusive_crops,omitempty"`
	// NoFlip leaves the mirror images out: a mirrored digit is none.
	NoFlip bool `json:"no_flip,omitempty"`
}

// Recipe returns the recommended training of the preset that the net is named
// for, and the paper's for any other net.
func (n *Net) Recipe() Recipe {
	all := presets()
	for _, p := range all {
		if n.Name == p.Net {
			return p.Recipe
		}
	}
	return all[0].Recipe
}
