package reproduce

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"alexnet/model"
	"alexnet/records"
	"alexnet/train/eval"
	"alexnet/train/loop"
	"alexnet/train/report"
)

// Variant is the base net or training with one thing changed.
type Variant struct {
	Name  string
	About string
	// Top1 and Top5 are the errors, as shares, that the paper says the thing is worth on
	// ILSVRC; 0 is none given. Note is what else it says.
	Top1, Top5 float64
	Note       string

	net      func(*model.Net) *model.Net
	settings func(*loop.Settings)
}

// BaseName is the name of what the variants are compared with.
const BaseName = "base"

// Variants returns what can be compared. The paper's figures are the improvement that
// the thing brings, so that leaving it out adds to the error.
func Variants() []Variant {
	return []Variant{
		{Name: "no-lrn", About: "no local response normalisation (3.3)", Top1: 0.014, Top5: 0.012, net: (*model.Net).WithoutLRN},
		{Name: "no-overlap", About: "pooling windows that do not overlap (3.4)", Top1: 0.004, Top5: 0.003, net: (*model.Net).WithoutOverlap},
		{Name: "single-tower", About: "all channels connected, more weights", net: (*model.Net).SingleTower},
		{Name: "half-tower", About: "one tower with half the kernels (3.2)", Top1: 0.017, Top5: 0.012, net: (*model.Net).HalfTower},
		{Name: "no-dropout", About: "no dropout (4.2)", Note: "substantial overfitting", net: func(n *model.Net) *model.Net { return n.WithDropout(0) }},
		{Name: "no-crops", About: "central crops only (4.1)", Note: "substantial overfitting without crops and mirror images",
			settings: func(s *loop.Settings) { s.CenterCrops, s.InclusiveCrops = true, false }},
		{Name: "no-flips", About: "no mirror images (4.1)", Note: "see no-crops", settings: func(s *loop.Settings) { s.NoFlip = true }},
		{Name: "no-color", About: "no shifts of colour (4.1)", Top1: 0.01, Note: "over 1 in top-1",
			settings: func(s *loop.Settings) { s.Color, s.ColorEpochs, s.ColorDivisor = loop.ColorNone, 0, 0 }},
		{Name: "tanh", About: "tanh in place of ReLU (3.1)", Note: "six times the epochs to 25 % training error on CIFAR-10",
			net: func(n *model.Net) *model.Net { return n.WithActivation(model.Tanh) }},
	}
}

// Ablation says what to compare.
type Ablation struct {
	// Out is the folder of the runs, one for each variant and seed.
	Out     string
	Records *records.Dataset
	// Options are those of the base; Net is its preset. Options for pre-trained nets have
	// no meaning here.
	Options Options
	// Seeds is the number of seeds, 1 if it is 0.
	Seeds int
	// Only are the names of variants, all if there are none.
	Only []string
}

// Comparison is what an ablation comes to.
type Comparison struct {
	Data
	Net     string   `json:"net"`
	Epochs  int      `json:"epochs"`
	Batch   int      `json:"batch"`
	LR      float64  `json:"learning_rate"`
	Seeds   []uint64 `json:"seeds"`
	Split   string   `json:"split"`
	Views   int      `json:"views"`
	Images  int      `json:"images"`
	Base    Outcome  `json:"base"`
	Variant []Change `json:"variants"`
	// Left names the variants that change nothing of this base.
	Left []string `json:"left_out,omitempty"`
}

// Outcome are the errors of a net: shares in [0, 1], means over the seeds.
type Outcome struct {
	Errors
	// Top1OfSeeds and Top5OfSeeds are those of each seed.
	Top1OfSeeds []float64 `json:"top1_errors"`
	Top5OfSeeds []float64 `json:"top5_errors"`

	wrong1, wrong5 []float64 // of each image: the number of seeds that have it wrong
}

// Change is the outcome of a variant and its difference from the base's: positive where
// the thing that was left out had helped.
type Change struct {
	Name  string `json:"name"`
	About string `json:"about"`
	Outcome
	Top1 Delta `json:"top1_delta"`
	Top5 Delta `json:"top5_delta"`
	// Paper is what the paper says the thing is worth, 0 where it gives no figure.
	PaperTop1 float64 `json:"paper_top1_delta,omitempty"`
	PaperTop5 float64 `json:"paper_top5_delta,omitempty"`
	PaperNote string  `json:"paper_note,omitempty"`
}

// Delta is a difference of errors, as a share.
type Delta struct {
	Mean float64 `json:"mean"`
	// Interval holds it with a confidence of 95 %, as far as the choice of the images
	// goes: it is that of a mean of differences, image by image. It does not tell how much
	// other seeds would change it.
	Interval [2]float64 `json:"interval"`
	// Deviation is the standard deviation over the seeds, 0 with one.
	Deviation float64 `json:"deviation_over_seeds,omitempty"`
}

// Run trains what is not trained yet, the base first, measures everything, and keeps
// the comparison in a file of the folder of the runs.
func (a Ablation) Run(ctx context.Context, w *Work, m Measure) (c Comparison, err error) {
	base, variants, left, err := a.plan()
	if err != nil {
		return c, err
	}
	var jobs []Job
	for _, v := range slices.Concat([][]Job{base}, variants) {
		jobs = append(jobs, v...)
	}
	if err := w.Finish(ctx, jobs); err != nil {
		return c, err
	}
	if err := equallyLong(jobs); err != nil {
		return c, err
	}
	first := &base[0]
	c = Comparison{Data: DataOf(a.Records), Net: first.Net.Name, Epochs: first.Limits.Epochs, Batch: first.Settings.Batch,
		LR: first.Settings.Schedule.Base, Split: or(m.Split, "val"), Views: or(m.Views, Views), Left: left}
	for _, j := range base {
		c.Seeds = append(c.Seeds, j.Settings.Seed)
	}
	if c.Base, err = outcome(ctx, m, base); err != nil {
		return c, err
	}
	c.Images = len(c.Base.wrong1)
	for _, jobs := range variants {
		name := variantOf(&jobs[0])
		v := Variants()[slices.IndexFunc(Variants(), func(v Variant) bool { return v.Name == name })]
		o, err := outcome(ctx, m, jobs)
		if err != nil {
			return c, err
		}
		c.Variant = append(c.Variant, Change{Name: v.Name, About: v.About, Outcome: o,
			Top1:      delta(o.wrong1, c.Base.wrong1, o.Top1OfSeeds, c.Base.Top1OfSeeds),
			Top5:      delta(o.wrong5, c.Base.wrong5, o.Top5OfSeeds, c.Base.Top5OfSeeds),
			PaperTop1: v.Top1, PaperTop5: v.Top5, PaperNote: v.Note})
	}
	return c, report.WriteJSON(filepath.Join(a.Out, "ablation.json"), c)
}

// equallyLong returns an error where a run has more epochs than were asked for, as one of
// an earlier, longer comparison has: it would be compared with shorter ones.
func equallyLong(jobs []Job) error {
	for i := range jobs {
		j := &jobs[i]
		s, err := readSummary(j.Run)
		if err != nil {
			return err
		}
		if s.Epochs > j.Limits.Epochs {
			return fmt.Errorf("the run %s has %d epochs, more than the %d that all are to have: compare over %d epochs, or in another folder",
				j.Run, s.Epochs, j.Limits.Epochs, s.Epochs)
		}
	}
	return nil
}

// plan returns the jobs of the base and of each variant, a job a seed, and the names of
// the variants that change nothing.
func (a Ablation) plan() (base []Job, variants [][]Job, left []string, err error) {
	seeds := max(1, a.Seeds)
	for k := range seeds {
		j, err := a.Options.job(Variation, a.Out, a.Options.Net, "alexnet", a.Records, k)
		if err != nil {
			return nil, nil, nil, err
		}
		base = append(base, j.as(a.Out, BaseName))
	}
	known := Variants()
	for _, name := range a.Only {
		if !slices.ContainsFunc(known, func(v Variant) bool { return v.Name == name }) {
			return nil, nil, nil, fmt.Errorf("unknown variant %q: there are %s", name, namesOf(known))
		}
	}
	for _, v := range known {
		if len(a.Only) > 0 && !slices.Contains(a.Only, v.Name) {
			continue
		}
		var jobs []Job
		for _, j := range base {
			changed := j.as(a.Out, v.Name)
			if v.net != nil {
				changed.Net = v.net(j.Net)
			}
			if v.settings != nil {
				v.settings(&changed.Settings)
			}
			if err := changed.Net.Validate(); err != nil {
				return nil, nil, nil, fmt.Errorf("%s of net %s: %w", v.Name, j.Net.Name, err)
			}
			if !reflect.DeepEqual(changed.Net, j.Net) || !reflect.DeepEqual(changed.Settings, j.Settings) {
				jobs = append(jobs, changed)
			}
		}
		if len(jobs) == 0 {
			left = append(left, v.Name)
			continue
		}
		variants = append(variants, jobs)
	}
	if len(variants) == 0 {
		return nil, nil, nil, errors.New("there is nothing to compare: the variants change nothing of this net and its recipe")
	}
	return base, variants, left, nil
}

// as returns the job in the folder of a variant, which ends with the seed.
func (j Job) as(out, variant string) Job {
	j.Run = filepath.Join(out, fmt.Sprintf("%s-%d", variant, j.Settings.Seed))
	return j
}

// variantOf returns the variant of a job.
func variantOf(j *Job) string {
	return strings.TrimSuffix(j.Name(), fmt.Sprintf("-%d", j.Settings.Seed))
}

func namesOf(all []Variant) string {
	var names []string
	for _, v := range all {
		names = append(names, v.Name)
	}
	return strings.Join(names, ", ")
}

// outcome measures the nets of a variant, each by itself.
func outcome(ctx context.Context, m Measure, jobs []Job) (Outcome, error) {
	var o Outcome
	var sum eval.Result
	for k := range jobs {
		at := 0
		m.Predictions = func(p eval.Prediction) error {
			if p.Label < 0 {
				return nil
			}
			if k == 0 {
				o.wrong1, o.wrong5 = append(o.wrong1, 0), append(o.wrong5, 0)
			}
			if p.Classes[0] != int(p.Label) {
				o.wrong1[at]++
			}
			if !slices.Contains(p.Classes, int(p.Label)) {
				o.wrong5[at]++
			}
			at++
			return nil
		}
		r, _, err := m.Average(ctx, jobs[k].Records, []string{jobs[k].Run})
		if err != nil {
			return o, err
		}
		if r.Images == 0 {
			return o, fmt.Errorf("split %q of %s has no labels", r.Split, jobs[k].Records.Dir)
		}
		o.Top1OfSeeds, o.Top5OfSeeds = append(o.Top1OfSeeds, r.Top1Error()), append(o.Top5OfSeeds, r.Top5Error())
		sum.Images, sum.Top1, sum.Top5 = sum.Images+r.Images, sum.Top1+r.Top1, sum.Top5+r.Top5
	}
	// The means are exact; the interval is that of one seed's number of images, since
	// seeds see the same ones.
	n := sum.Images / len(jobs)
	o.Errors = Errors{Top1Error: sum.Top1Error(), Top5Error: sum.Top5Error()}
	wilson := func(share float64) [2]float64 {
		i := eval.Wilson(int(math.Round(share*float64(n))), n)
		return [2]float64{i.Low, i.High}
	}
	o.Top1Interval, o.Top5Interval = wilson(o.Top1Error), wilson(o.Top5Error)
	return o, nil
}

// delta compares how many of the seeds have each image wrong in two outcomes, and their
// errors seed by seed.
func delta(wrong, base, seeds, baseSeeds []float64) Delta {
	differences := func(a, b []float64) []float64 {
		d := make([]float64, len(a))
		for i := range a {
			d[i] = a[i] - b[i]
		}
		return d
	}
	mean, deviation := moments(differences(wrong, base))
	mean /= float64(len(seeds))
	half := 1.959963984540054 * deviation / float64(len(seeds)) / math.Sqrt(float64(len(wrong)))
	_, over := moments(differences(seeds, baseSeeds))
	return Delta{Mean: mean, Interval: [2]float64{mean - half, mean + half}, Deviation: over}
}

// moments returns the mean and the standard deviation, which is 0 for a single number.
func moments(x []float64) (mean, deviation float64) {
	for _, v := range x {
		mean += v
	}
	mean /= float64(len(x))
	if len(x) < 2 {
		return mean, 0
	}
	for _, v := range x {
		deviation += (v - mean) * (v - mean) / float64(len(x)-1)
	}
	return mean, math.Sqrt(deviation)
}
