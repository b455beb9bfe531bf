// Package convert turns a source of photographs into records: the ingest job.
//
// Every picture is read, decoded, scaled and cropped to a square (section 2 of
// the paper), and written to a shard. Which shard and which row it gets is
// dealt by a permutation that depends on the seed and the list of keys only, so
// that any number of workers gives the same bytes, and the folders give the
// same as the archives.
//
// The job is made to be interrupted. Shards appear whole or not at all, and
// beside them, in the folder .ingest of the output, a part file for each: the
// description of the shard, its rejected files, and its share of the sums that
// the mean picture and the colour components are computed from. A part is
// written after its shard, so a part that is there says that the shard is done.
// Whatever kills the process, the same command goes on with the shards that
// have no part, and ends with the same bytes as if nothing had happened. What
// the job was asked to do is kept in ingest.json; another request for the same
// output is refused with the difference.
//
// Several processes, on one machine or on many that share a folder, can share a
// job as tasks: each makes the shards that fall to it, and then a done-marker
// that holds the sums of all of them, exact integers, so that it does not matter
// in which order they are added up. Merge checks that all tasks are done and of
// one job, and ends it as a single process would have. A task that is run twice,
// one after the other or both at once, writes the same bytes twice; each file
// appears whole. The baseline is not shared out: every task computes it from
// the same sample, or reads what one of them left.
//
// The order of the last steps is mean.arrow, rejects.jsonl, manifest.json: a
// folder without a manifest is not a data set yet. Then .ingest is removed.
//
// The output may be a folder of an object store (Config.Folder), with objects
// that have the names and the bytes of the files, and with the same promises. A
// shard is written to a scratch folder of this machine and sent while the next
// one is made. Nothing can be locked or renamed there, but an object can be
// created by one process only, and is seen by all as soon as it is there:
//   - Whoever creates ingest.json first has the output. Others compare: the same
//     request may go on, another one is refused.
//   - Parts and done-markers are created, never overwritten, unless they were
//     there at the start and do not hold. One that has come meanwhile, or was made
//     by a request whose answer was lost, has to have the same bytes; if it has
//     not, the shard that belongs to it is left alone too, or, where both were
//     sent at once, made again by the next run.
//   - All that a job writes is a function of its request, so identical jobs may be
//     at work at once, each paying for its own work. Whoever ends first removes
//     .ingest; the others find the manifest then, and say that the job is done.
//   - Only --restart throws away what another process may be at work on. That one
//     looks for its ingest.json before each shard and each of the last files, and
//     stops; what it was just then sending can still come late. So it is for the
//     user to see that nobody is at work.
//
// A file that gives no picture is rejected, with a reason class, and counted:
// seen = written + rejected holds for every split. A file that cannot be read
// is another matter. That is not the picture's fault and may pass, so it stops
// the job, which can go on when the cause is gone.
package convert

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"runtime"
	"time"

	"alexnet/ingest/decode"
	"alexnet/ingest/resize"
	"alexnet/ingest/source"
	"alexnet/records"
	"alexnet/records/bucket"
)

// DefaultMaxRejects is the share of rejected files above which a job stops.
const DefaultMaxRejects = 0.01

// DefaultBaselineSample is how many training pictures the baseline is made of.
const DefaultBaselineSample = 1024

// Config says what to convert to what.
type Config struct {
	Source source.Source // stays the caller's to close
	// Out is the folder of the records; it is made if it is missing.
	Out string
	// Folder, if not nil, is where the records go instead: a folder of an object
	// store, which stays the caller's to close. Out is only its name for messages
	// then, Folder.Name() if empty.
	Folder bucket.Folder
	// Scratch is where shards are written before they are sent to Folder, two of
	// them for every four of Jobs; the system's folder for temporaries if empty.
	// A folder is made in it and removed again; one that is killed leaves its.
	Scratch string

	Pixels      records.PixelType   // records.Int16 (also "") or records.Uint8
	Compression records.Compression // records.None (also ""), LZ4 or Zstd
	Size        int                 // side of the square; if 0 the source's own where its pictures have one, else 256
	ShardBytes  int64               // pixel bytes a shard before compression, 256 MB if 0
	Seed        uint64              // of the order of the pictures, the sample and the held-out part
	ValFraction float64             // part of the training split to hold out, class by class, where the source has no val; 0 none
	Limits      decode.Limits       // on the size of a picture

	// KeepTruncated takes pictures whose files end too early, with what is
	// missing in grey, and lists them in damaged.jsonl. Without it they are
	// rejected.
	KeepTruncated bool
	// ExifRotate turns pictures as their EXIF orientation says. Without it they
	// are taken as they are stored.
	ExifRotate bool
	Resize     resize.Options // how a picture becomes a square

	// MeanFrom is a folder of records whose mean picture, baseline and colour
	// components are taken. It is for sources without a training split.
	MeanFrom string
	// OpenMean opens MeanFrom, records.Open if nil: for what is not a folder.
	OpenMean func(ctx context.Context, name string) (*records.Dataset, error)
	// BaselineSample is how many training pictures the baseline of int16 records
	// is made of, DefaultBaselineSample if 0; all when there are fewer.
	BaselineSample int

	Jobs int // pictures decoded at the same time, one for each processor if 0

	// Strict stops at the first rejected file. Otherwise the job stops as soon
	// as more files are rejected than MaxRejects allows: that share, from 0 to
	// 1, of all files, and of 100 when there are fewer, so that the default of
	// one in a hundred always lets one pass.
	Strict     bool
	MaxRejects float64

	// Task says which part of the job to do, when several tasks share it; all if
	// zero. A task writes its shards and, last, its done-marker; when all have,
	// Merge writes what is missing.
	Task Task
	// Prepare only does what tasks would otherwise all do by themselves: it
	// decodes the sample that the baseline is made of.
	Prepare bool

	Restart  bool           // throw away what is in Out and begin anew; not for a Task
	Progress func(Progress) // called often, never by two goroutines at once; may be nil

	aheadReads int   // a test's, of a remote source; see readahead.go
	aheadBytes int64 // a test's

	damage func(*decode.Image) error // what is wrong with a picture that was kept; a test's stand-in too
	create createShard               // a test's stand-in for records.CreateShard and CreateForwardShard
}

// createShard begins a shard at a path of this machine.
type createShard func(path string, o records.WriterOptions) (shardWriter, error)

// shardWriter is what a [records.ShardWriter] does.
type shardWriter interface {
	Write(records.Record) error
	Commit() (records.ShardInfo, error)
	Abort() error
}

// Phases of a job, in order.
const (
	PhaseBaseline = "baseline" // decodes the sample that the baseline is made of
	PhaseConvert  = "convert"
	PhaseFinish   = "finish" // mean, rejects, manifest
)

// Progress says how far a job is.
type Progress struct {
	Phase     string
	Done      int // files of the phase that are dealt with, also in earlier runs
	Total     int // files of the phase
	Earlier   int // how many of Done earlier runs dealt with
	Rejected  int // files rejected so far, also in earlier runs
	Shards    int // shards that are finished
	AllShards int
}

// Run does the job, or what is left of it. When the records are there already,
// made from the same files with the same options, it only says so
// (Summary.AlreadyDone).
//
// Errors that concern the request are a *[ChangedError] or a *[ConfigError].
// Once the output is ours, an error is a *[StoppedError], which says how much is
// kept and wraps the cause: a *[RejectError], a *[TooManyRejectsError], an error
// of the source or of the disk, or the context's.
func Run(ctx context.Context, cfg Config) (s Summary, err error) {
	start := time.Now()
	if err := cfg.complete(); err != nil {
		return Summary{}, err
	}
	p, lent, err := planWith(ctx, &cfg)
	if err != nil {
		return Summary{}, err
	}
	out := newPlace(cfg.Out, cfg.Folder, cfg.Scratch)
	defer func() { err = errors.Join(err, out.close()) }()
	if s, err := before(ctx, &cfg, p, out); s != nil || err != nil {
		return orZero(s), err
	}
	st, err := openState(ctx, &cfg, p, out)
	if err != nil {
		return Summary{}, err
	}
	// Another process may have finished the job before we got the lock, or been
	// killed when only the state was left to remove.
	if m, err := finished(ctx, &cfg, p, out); err != nil {
		return Summary{}, errors.Join(err, st.close())
	} else if m != nil {
		return summarize(&cfg, p, m).already(), st.remove(ctx)
	}
	if err := st.describe(ctx, &cfg, lent); err != nil {
		return Summary{}, errors.Join(err, st.close())
	}
	j := newJob(&cfg, p, st, lent)
	s, err = j.run(ctx)
	if m := st.overtaken(ctx, &cfg, err); m != nil {
		return summarize(&cfg, p, m).already(), st.remove(ctx)
	}
	if err != nil {
		stopped := &StoppedError{Out: cfg.Out, Done: st.done(), Shards: len(p.own), Restarted: cfg.Restart, Err: err}
		return Summary{}, errors.Join(stopped, st.close())
	}
	if cfg.alone() {
		err = st.remove(ctx)
	} else {
		err = st.close() // the other tasks and the merge go on
	}
	if err != nil {
		return Summary{}, err
	}
	j.addTimes(&s)
	s.Elapsed = time.Since(start)
	return s, nil
}

// newPlace is where the output lies: in the folder of a store if there is one,
// else in that of the operating system.
func newPlace(out string, in bucket.Folder, scratch string) place {
	if in != nil {
		return &store{in: in, scratch: scratch}
	}
	return osFolder(out)
}

// before returns the summary of a job that is done, and has nothing left to
// remove, nil if it is not.
func before(ctx context.Context, cfg *Config, p *plan, out place) (*Summary, error) {
	m, err := finished(ctx, cfg, p, out)
	if m == nil || err != nil {
		return nil, err
	}
	if cfg.alone() {
		if begun, err := out.begun(ctx); begun || err != nil {
			return nil, err
		}
	}
	s := summarize(cfg, p, m).already()
	return &s, nil
}

// overtaken returns the manifest when another process has ended the job of a run
// that comes to its end with err, nil if none has. That is only possible where
// there are no locks: identical jobs may do the same work there at the same time,
// and the merge end one while a task is repeated. Whoever comes later may miss
// what the other one has removed, or leave what only the other one knew to remove.
func (s *state) overtaken(ctx context.Context, cfg *Config, err error) *records.Manifest {
	if s.lock != nil || err == nil && cfg.alone() {
		return nil
	}
	again := *cfg
	again.Restart = false // that was done, so it is not what was thrown away
	m, err := finished(ctx, &again, s.plan, s.out)
	if err != nil {
		return nil // what the run itself says is of more use
	}
	return m
}

// IndexPath is where the tasks of a job keep the index of the source's archives:
// what to give as source.Options.Index. The first task writes it.
func IndexPath(out string) string { return filepath.Join(out, filepath.FromSlash(indexName)) }

// IndexReader is for source.Options.ReadIndex what IndexPath is for
// source.Options.Index, where the tasks write to a store.
func IndexReader(ctx context.Context, in bucket.Folder) func() ([]byte, error) {
	return func() ([]byte, error) { return (&store{in: in}).read(ctx, indexName) }
}

// alone says that this process is to do the whole job.
func (c *Config) alone() bool { return c.Task.whole() && !c.Prepare }

// planWith makes the plan, and opens the records that lend their mean, if any.
func planWith(ctx context.Context, cfg *Config) (*plan, *records.Dataset, error) {
	p, err := newPlan(cfg)
	if err != nil || cfg.MeanFrom == "" {
		return p, nil, err
	}
	lent, err := cfg.OpenMean(ctx, cfg.MeanFrom)
	if err != nil {
		return nil, nil, fmt.Errorf("taking the mean picture from %s: %w", cfg.MeanFrom, err)
	}
	return p, lent, p.borrow(lent, cfg)
}

// complete fills in the defaults and checks the options.
func (c *Config) complete() error {
	set := func(ok bool, name, what string) error {
		if ok {
			return nil
		}
		return &ConfigError{Option: name, What: what}
	}
	if c.Pixels == "" {
		c.Pixels = records.Int16
	}
	if c.Compression == "" {
		c.Compression = records.None
	}
	c.Size = c.Shape().H
	if c.ShardBytes == 0 {
		c.ShardBytes = 256e6
	}
	if c.BaselineSample == 0 {
		c.BaselineSample = DefaultBaselineSample
	}
	if c.Jobs == 0 {
		c.Jobs = runtime.GOMAXPROCS(0)
	}
	if c.create == nil {
		create := records.CreateShard
		if c.Folder != nil {
			create = records.CreateForwardShard
		}
		c.create = func(path string, o records.WriterOptions) (shardWriter, error) { return create(path, o) }
	}
	if c.OpenMean == nil {
		c.OpenMean = func(_ context.Context, dir string) (*records.Dataset, error) { return records.Open(dir) }
	}
	if c.Folder != nil && c.Out == "" {
		c.Out = c.Folder.Name()
	}
	if c.damage == nil {
		c.damage = func(m *decode.Image) error { return m.Damage }
	}
	if c.Limits.MaxSide == 0 {
		c.Limits.MaxSide = decode.DefaultMaxSide
	}
	if c.Limits.MaxPixels == 0 {
		c.Limits.MaxPixels = decode.DefaultMaxPixels
	}
	none := c.Compression == records.None || c.Compression == records.LZ4 || c.Compression == records.Zstd
	return errors.Join(
		c.Task.check(),
		set(c.Task.whole() || !c.Prepare, "index", "is done once, before the tasks: leave --shard out"),
		set(c.Task.whole() || !c.Restart, "restart", "is not for a task: others may be at work in the same folder. Remove the folder, or begin anew with --index --restart, and then start the tasks"),
		set(c.Source != nil, "source", "is missing"),
		set(c.Out != "", "out", "is missing"),
		set(c.Pixels.Size() > 0, "pixels", fmt.Sprintf("is %q; int16 and uint8 are possible", c.Pixels)),
		set(none, "compress", fmt.Sprintf("is %q; none, lz4 and zstd are possible", c.Compression)),
		set(c.Size >= 1 && c.Size <= resize.MaxSize, "size", fmt.Sprintf("is %d; 1 to %d are possible", c.Size, resize.MaxSize)),
		set(c.ShardBytes >= 1, "shard-size", fmt.Sprintf("is %d bytes; it must be positive", c.ShardBytes)),
		set(c.ValFraction >= 0 && c.ValFraction < 1, "val-fraction", fmt.Sprintf("is %v; 0 to below 1 are possible", c.ValFraction)),
		set(c.MaxRejects >= 0 && c.MaxRejects <= 1, "max-rejects", fmt.Sprintf("is %v; it is a share from 0 to 1", c.MaxRejects)),
		set(c.Jobs >= 1, "jobs", fmt.Sprintf("is %d; it must be positive", c.Jobs)),
		set(c.BaselineSample >= 1, "baseline-sample", fmt.Sprintf("is %d; it must be positive", c.BaselineSample)),
		set(c.Limits.MaxSide >= 1 && c.Limits.MaxSide <= math.MaxUint16, "max-side", fmt.Sprintf("is %d; 1 to 65535 are possible", c.Limits.MaxSide)),
		set(c.Limits.MaxPixels >= 1, "max-pixels", fmt.Sprintf("is %d; it must be positive", c.Limits.MaxPixels)),
	)
}

// DefaultSize is the side of the squares where neither the request nor the
// source says another: the paper's.
const DefaultSize = 256

// Shape is the shape of every record: a square of Size, or where that is 0 of
// the source's own size or of DefaultSize, of three colours, or of one plane
// where the source has only grey pictures.
func (c *Config) Shape() records.Shape {
	own := c.Source.Shape()
	shape := records.Shape{C: 3, H: c.Size, W: c.Size}
	if own.C == 1 {
		shape.C = 1
	}
	if c.Size == 0 {
		side := min(own.H, own.W) // a square of it costs no scaling
		if side == 0 {
			side = DefaultSize
		}
		shape.H, shape.W = side, side
	}
	return shape
}

// Decoder says what decodes the source's pictures, for the terminal and for the
// manifest.
func (c *Config) Decoder() string {
	if c.Source.Shape().C > 0 {
		return "none, the source has pixels"
	}
	return decode.Name()
}

// published is how many files each split of the source has as it was
// published, nil where that is not known or not what is converted.
func (c *Config) published() map[string]int {
	if c.ValFraction > 0 {
		return nil
	}
	return c.Source.Official()
}

// manifest is what the manifest says before there is a shard.
func (c *Config) manifest(p *plan) *records.Manifest {
	return &records.Manifest{
		Shape: c.Shape(), Pixels: c.Pixels, Compression: c.Compression, Seed: c.Seed,
		Decoder: c.Decoder(), Filter: c.Resize.Name(), Classes: p.classes, Splits: map[string]records.SplitInfo{},
	}
}

// finished returns the manifest of a job that was the same and is done, nil
// when there is none or it is to be thrown away. Records of another job are an
// error.
func finished(ctx context.Context, cfg *Config, p *plan, out place) (*records.Manifest, error) {
	if cfg.Restart {
		return nil, nil
	}
	data, err := out.read(ctx, records.ManifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking into the output folder: %w", err)
	}
	before, err := readRequest(ctx, out)
	if err != nil {
		return nil, err
	}
	if before == nil {
		return nil, &ForeignError{Out: cfg.Out, File: records.ManifestName}
	}
	if d := before.differences(p.request); len(d) > 0 {
		return nil, &ChangedError{Out: cfg.Out, Finished: true, Differences: d}
	}
	m, err := records.DecodeManifest(out.path(records.ManifestName), data)
	if err != nil {
		return nil, err
	}
	if err := checkShards(ctx, out, m); err != nil {
		return nil, fmt.Errorf("%s is marked as finished, but a shard is missing or damaged: %w; use --restart to make it again", cfg.Out, err)
	}
	return m, nil
}
