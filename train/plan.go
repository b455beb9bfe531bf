package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"alexnet/model"
	"alexnet/records"
	"alexnet/tools/stores"
	"alexnet/train/checkpoint"
	"alexnet/train/engine"
	"alexnet/train/loop"
	"alexnet/train/sgd"
)

// plan is what a command line comes to.
type plan struct {
	config  loop.Config
	net     *model.Net
	records *records.Dataset
	done    func() error   // ends the use of the records
	first   []model.Tensor // the first weights; nil: drawn from the seed
	threads int            // of the CPU engine; 0: one a processor
	notes   []string       // what the user should know before it begins
}

// plan reads what the flags name and settles all that they leave open. What it has
// to say of the records it tells.
func (f *flags) plan(ctx context.Context, tell io.Writer) (_ *plan, err error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	p := new(plan)
	defer func() {
		if err != nil && p.done != nil {
			err = errors.Join(err, p.done())
		}
	}()
	if f.Resume {
		return f.planResumed(ctx, p, tell)
	}
	p.config = loop.Config{Run: f.run(), Init: f.Init, InitWeights: checkpoint.Weights(value(f.InitWeights, "")), InitExcept: f.InitExcept}
	if err := p.open(ctx, f.Records, f.Store, tell); err != nil {
		return nil, err
	}
	if p.net, err = model.Preset(f.name(), len(p.records.Manifest.Classes)); err != nil {
		return nil, err
	}
	if p.net, err = f.vary(p.net); err != nil {
		return nil, err
	}
	p.config.Settings, p.config.Limits = loop.Recommended(p.net)
	p.adapt(f)
	if err := f.apply(&p.config.Settings, &p.config.Limits); err != nil {
		return nil, err
	}
	if f.Init != "" {
		if err := p.initialize(); err != nil {
			return nil, err
		}
	}
	p.look()
	return p, nil
}

// open opens the records.
func (p *plan) open(ctx context.Context, where string, c stores.Cache, tell io.Writer) (err error) {
	if stores.IsURL(where) {
		p.config.Address = where // a URL holds no secrets
	}
	p.records, p.done, err = stores.Records(ctx, where, c, true, tell)
	return err
}

// planResumed plans to go on with a run, which has its own idea of everything.
func (f *flags) planResumed(ctx context.Context, p *plan, tell io.Writer) (*plan, error) {
	p.config = loop.Config{Run: f.run()}
	own, err := loop.ReadConfig(p.config.Run)
	if err != nil {
		return nil, err
	}
	if err := p.open(ctx, or(f.Records, own.Records), f.Store, tell); err != nil {
		return nil, err
	}
	p.net = own.Net
	if f.Net != nil && *f.Net != own.Net.Name || f.Preset != nil {
		asked, err := model.Preset(f.name(), len(p.records.Manifest.Classes))
		if err != nil {
			return nil, err
		}
		if asked.Name != own.Net.Name { // the run's own may be a changed one
			p.net = asked
		}
	}
	if p.net, err = f.vary(p.net); err != nil {
		return nil, err
	}
	p.config.Init, p.config.InitWeights, p.config.InitExcept = own.Init, own.InitWeights, own.InitExcept
	p.config.Settings, p.config.Limits = own.Settings, own.Limits
	if err := f.apply(&p.config.Settings, &p.config.Limits); err != nil {
		return nil, err
	}
	c, warnings, err := checkpoint.Latest(p.config.Run)
	switch {
	case errors.Is(err, checkpoint.ErrNone):
		p.note("%s has no checkpoint yet: starting from the beginning", p.config.Run)
		if own.Init != "" {
			return p, p.initialize()
		}
		return p, nil
	case err != nil:
		return nil, fmt.Errorf("run %s: %w", p.config.Run, err)
	}
	for _, w := range warnings {
		p.note("warning: %v; passed over", w)
	}
	p.note("resuming from %s: step %d", c.File, c.Progress.Step)
	p.config.Resume = c
	return p, nil
}

// initialize reads the first weights for --init; where it is not said which, the file's
// own.
func (p *plan) initialize() error {
	if info, err := os.Stat(p.config.Init); err == nil && info.IsDir() {
		best, warnings, err := checkpoint.BestOf(p.config.Init)
		for _, w := range warnings {
			p.note("warning: %v", w)
		}
		if err != nil {
			return fmt.Errorf("--init %s: %w", p.config.Init, err)
		}
		p.config.Init = best.File
	}
	file, which := p.config.Init, or(p.config.InitWeights, checkpoint.Own)
	weights, err := checkpoint.ReadWeights(file, which)
	if err == nil {
		p.first, err = p.net.Graft(weights, p.config.Settings.Seed, p.config.InitExcept...)
	}
	var mismatch *model.MismatchError
	if misfits := p.net.Misfits(weights); errors.As(err, &mismatch) && len(misfits) == 1 && misfits[0] == p.net.Classifier() {
		err = fmt.Errorf("%w: give its classifier new weights with --init-except %s", err, misfits[0])
	}
	if err != nil {
		return fmt.Errorf("--init %s: %w", file, err)
	}
	p.note("first weights: %s of %s", which, file)
	if fresh := p.config.InitExcept; len(fresh) > 0 {
		p.note("first weights of %s: drawn from seed %d", strings.Join(fresh, ", "), p.config.Settings.Seed)
	}
	return nil
}

// adapt changes the net's recipe where the records do not allow it, unless a flag
// asks for it.
func (p *plan) adapt(f *flags) {
	s := &p.config.Settings
	if !loop.HasValidation(p.records.Manifest) {
		p.note("%s has no validation split: training without validation", p.records.Dir)
		if f.Schedule == nil && s.Schedule.Kind == sgd.Plateau {
			p.note("the learning rate stays constant: without validation the %s schedule has nothing to go by", sgd.Plateau)
			s.Schedule = sgd.Config{Kind: sgd.Constant, Base: s.Schedule.Base}
		}
	}
	if p.records.Manifest.PCA == nil {
		s.Color = loop.ColorNone
	}
}

// look notes what is likely not meant.
func (p *plan) look() {
	side := min(p.records.Manifest.Shape.H, p.records.Manifest.Shape.W)
	crop := p.net.Input.H
	// The paper cuts 224 of 256, 77 % of the area; half the area of an image is the
	// least that still shows most objects whole.
	if 2*crop*crop < side*side {
		p.note("warning: crops of %dx%d show %.0f %% of the area of records of %dx%d: `ingest --size %d` gives the paper's proportion (224 of 256)",
			crop, crop, 100*float64(crop*crop)/float64(side*side), side, side, paperSide(crop))
	}
}

// paperSide returns the size of records, a multiple of 8, of which a crop is what
// 224 is of 256.
func paperSide(crop int) int { return crop * 256 / 224 / 8 * 8 }

func (p *plan) note(format string, args ...any) {
	p.notes = append(p.notes, fmt.Sprintf(format, args...))
}

// newEngine makes the engine that the flags ask for, and its name, and notes what would
// make it faster.
func newEngine(f *flags, p *plan) (model.Engine, string, error) {
	s, travel := p.config.Settings, engine.Travel(f.Travel)
	if s.ColorDivisor != 0 { // which only finished images know of
		travel = engine.Float32
	}
	ranks := p.config.Ranks
	if s.Accumulate > 1 { // summed once a step, by the loop
		ranks = nil
	}
	e, about, err := engine.New(p.net, model.State{Weights: p.first}, engine.Options{Device: engine.Device(f.Device), Batch: p.config.Slice(),
		Threads: p.threads, Seed: s.Seed, Precision: s.Precision.String(), Ranks: ranks, Staged: p.records, Travel: travel})
	if err != nil {
		return nil, "", err
	}
	p.first = nil // the engine has its own copy
	if about.Hint != "" {
		p.note("note: %s", about.Hint)
	}
	return e, about.Name, nil
}
