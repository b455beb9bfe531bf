package loop

import (
	"alexnet/model"
	"alexnet/train/sgd"
)

// Defaults of what no recipe of a net gives.
const (
	// DefaultPatience and DefaultMaxDrops are those of a plateau schedule (sgd.Config).
	DefaultPatience = 5
	DefaultMaxDrops = 3

	defaultSeed            = 1
	defaultCheckpointEvery = 500
	defaultLogEvery        = 20
	keepCheckpoints        = 3
)

// Recommended returns the settings and limits of a new run that trains a net as its
// recipe says.
func Recommended(net *model.Net) (Settings, Limits) {
	r := net.Recipe()
	s := Settings{
		Batch: r.Batch, Seed: defaultSeed, Momentum: r.Momentum, WeightDecay: r.WeightDecay,
		Color: r.Color, ColorEpochs: r.ColorEpochs, ColorDivisor: r.ColorDivisor,
		CropGroup: r.CropGroup, InclusiveCrops: r.InclusiveCrops, NoFlip: r.NoFlip,
		Schedule: sgd.Config{Kind: sgd.Kind(r.Schedule), Base: r.LearningRate, Factor: r.Factor, DropAt: r.DropAt},
	}
	if s.Schedule.Kind == sgd.Plateau {
		s.Schedule.Patience, s.Schedule.MaxDrops = DefaultPatience, DefaultMaxDrops
	}
	return s, Limits{
		Epochs: r.Epochs, CheckpointEvery: defaultCheckpointEvery, LogEvery: defaultLogEvery, Keep: keepCheckpoints,
	}
}
