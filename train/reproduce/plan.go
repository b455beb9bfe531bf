package reproduce

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"

	"alexnet/model"
	"alexnet/records"
	"alexnet/train/loop"
	"alexnet/train/sgd"
)

// Options change the recipes of the nets. What is zero is as the recipe has it.
type Options struct {
	// Net and StarNet are presets: of the nets that are trained on the records alone
	// ("alexnet"), and of those that are pre-trained ("alexnet-conv6").
	Net, StarNet string
	// Nets, if not 0, is the most nets of each of the two kinds.
	Nets int
	// Seed is that of the first net, 1 if it is 0; each net has the next.
	Seed uint64
	// Epochs of a net; PretrainEpochs and FinetuneEpochs those of the two trainings of a
	// pre-trained one. 0 is: for Epochs the recipe's, for PretrainEpochs the same as
	// Epochs, for FinetuneEpochs a third of Epochs.
	Epochs, PretrainEpochs, FinetuneEpochs int
	Batch                                  int
	// LR is the learning rate of the first epoch, FinetuneLR that of a fine-tuning: a
	// tenth of LR if it is 0. The paper tells neither this nor for how long it
	// fine-tuned.
	LR, FinetuneLR float64
	Precision      loop.Precision
	// CheckpointEvery, if not 0, is the number of steps between checkpoints, and Workers
	// that of goroutines that prepare batches.
	CheckpointEvery, Workers int
}

// fineTuning says by how much the rate, and the number of epochs, of a fine-tuning are
// less than those of a training from the beginning, where nothing is asked for. It is
// common practice; the paper says only that the nets were "fine-tuned". By the notes in
// the program's files (layer-params-146-2012-2011.cfg) the one of "1 CNN*" was, for 54
// epochs, at a rate of 0.001 (conv1 at 0.0001, the new classifier at 0.01) that fell to a
// tenth after 22 and 42, and before that trained on Fall 2011 for 8 epochs, its
// convolutions those of a net of Fall 2009.
const (
	fineTuningRate   = 0.1
	fineTuningEpochs = 1.0 / 3
)

// Kind says what a job is for.
type Kind string

// The kinds of jobs.
const (
	CNN        Kind = "cnn"        // trained on the records alone
	Pretrained Kind = "pretrained" // trained on other records, to begin another run with
	Finetuned  Kind = "finetuned"  // begun with a pre-trained net
	Variation  Kind = "variation"  // of an ablation
	Activation Kind = "activation" // of a race
)

// Job is a net that is to be trained, as a run.
type Job struct {
	Kind Kind
	// Run is the run's folder.
	Run      string
	Net      *model.Net
	Records  *records.Dataset
	Settings loop.Settings
	Limits   loop.Limits
	// Init, if not empty, is the folder of the run whose best weights this one begins
	// with, but for those of the layers Fresh.
	Init  string
	Fresh []string
}

// Name returns the name of the run's folder.
func (j *Job) Name() string { return filepath.Base(j.Run) }

// Jobs returns the nets of a system in the order in which they are trained, in folders
// of out that other systems share: the nets of "5 CNNs" are among those of "7 CNNs*".
// pretrain are the records with more classes; they are needed by systems with
// pre-trained nets only.
func (s System) Jobs(out string, ds, pretrain *records.Dataset, o Options) ([]Job, error) {
	if s.Stars > 0 && pretrain == nil {
		return nil, fmt.Errorf("%s is pre-trained on other records, with more classes (in the paper ImageNet's Fall 2011 release), and there are none", s.Title)
	}
	var jobs []Job
	for k := range limit(s.CNNs, o.Nets) {
		j, err := o.job(CNN, out, o.Net, "alexnet", ds, k)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	first := Systems()[len(Systems())-1].CNNs // the seeds that other nets have
	for k := range limit(s.Stars, o.Nets) {
		pre, err := o.job(Pretrained, out, o.StarNet, "alexnet-conv6", pretrain, first+k)
		if err != nil {
			return nil, err
		}
		fine, err := o.job(Finetuned, out, o.StarNet, "alexnet-conv6", ds, first+k)
		if err != nil {
			return nil, err
		}
		fine.Init, fine.Fresh = pre.Run, []string{fine.Net.Classifier()}
		jobs = append(jobs, pre, fine)
	}
	return jobs, nil
}

// limit returns n, or most if that is less and not 0.
func limit(n, most int) int {
	if most > 0 {
		return min(n, most)
	}
	return n
}

// job plans a net by its recipe and the options.
func (o Options) job(kind Kind, out, preset, usual string, ds *records.Dataset, number int) (Job, error) {
	if preset == "" {
		preset = usual
	}
	net, err := model.Preset(preset, len(ds.Manifest.Classes))
	if err != nil {
		return Job{}, err
	}
	j := Job{Kind: kind, Run: filepath.Join(out, fmt.Sprintf("%s-%d", kind, number+1)), Net: net, Records: ds}
	j.Settings, j.Limits = loop.Recommended(net)
	recipe := j.Limits.Epochs
	s, l := &j.Settings, &j.Limits
	l.Epochs = or(o.Epochs, l.Epochs)
	s.Schedule.Base = or(o.LR, s.Schedule.Base)
	switch kind {
	case Pretrained:
		l.Epochs = or(o.PretrainEpochs, l.Epochs)
	case Finetuned:
		l.Epochs = or(o.FinetuneEpochs, max(1, int(math.Round(float64(l.Epochs)*fineTuningEpochs))))
		s.Schedule.Base = or(o.FinetuneLR, s.Schedule.Base*fineTuningRate)
	}
	s.Seed = or(o.Seed, s.Seed) + uint64(number)
	s.Batch = or(o.Batch, s.Batch)
	s.Precision = o.Precision
	l.CheckpointEvery = or(o.CheckpointEvery, l.CheckpointEvery)
	l.Workers = o.Workers
	s.Schedule = scaled(s.Schedule, recipe, l.Epochs)
	if ds.Manifest.PCA == nil {
		s.Color, s.ColorEpochs, s.ColorDivisor = loop.ColorNone, 0, 0
	}
	if s.Schedule.Kind == sgd.Plateau && !loop.HasValidation(ds.Manifest) {
		s.Schedule = sgd.Config{Kind: sgd.Constant, Base: s.Schedule.Base}
	}
	return j, errors.Join(s.Check(), l.Check())
}

// scaled moves the drops of a schedule that is made for so many epochs to where they
// are in the same proportion of others.
func scaled(c sgd.Config, from, to int) sgd.Config {
	if c.Kind != sgd.Step || from == to {
		return c
	}
	var drops []int
	for _, epoch := range c.DropAt {
		at := int(math.Round(float64(epoch) * float64(to) / float64(from)))
		if at = min(at, to-1); at > 0 && (len(drops) == 0 || drops[len(drops)-1] < at) {
			drops = append(drops, at)
		}
	}
	if len(drops) == 0 {
		return sgd.Config{Kind: sgd.Constant, Base: c.Base}
	}
	c.DropAt = drops
	return c
}

// or returns v, or otherwise where v is zero.
func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
