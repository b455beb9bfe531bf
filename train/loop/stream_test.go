package loop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"alexnet/pipeline"
	"alexnet/records"
	"alexnet/train/checkpoint"
	"alexnet/train/collective"
	"alexnet/train/report"
	"alexnet/train/traintest"
)

// The damaged records: of 18 in three shards, the second shard (rows 6 to 11) is
// gone, and of the third one row is altered.
var (
	inShards  = traintest.Data{Classes: 6, Train: 18, Val: 12, Shards: 3, Size: 12, Seed: 3}
	lostShard = records.ShardName("train", 1, 3)
	badShard  = records.ShardName("train", 2, 3)
)

func damaged(t testing.TB) *records.Dataset {
	t.Helper()
	ds := dataset(t, inShards)
	damage(t, ds, badShard)
	if err := os.Remove(filepath.Join(ds.Dir, lostShard)); err != nil {
		t.Fatal(err)
	}
	return ds
}

// damage alters a bit in the middle of a file, where pixels are.
func damage(t testing.TB, ds *records.Dataset, file string) {
	t.Helper()
	path := filepath.Join(ds.Dir, file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 4
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
}

func skipping(cfg Config) Config {
	cfg.Limits.OnCorrupt = pipeline.Skip
	return cfg
}

// Damaged records are named once, counted in each epoch, and left out of the
// averages; the run comes to its end, and again to the same.
func TestSkip(t *testing.T) {
	ds := damaged(t)
	run := t.TempDir()
	var said []string
	var last report.Status
	var first string
	s := train(t, skipping(config(run)), ds, Hooks{
		Message:  func(m string) { said = append(said, m) },
		Progress: func(s report.Status, _ bool) { last = s },
		Step: func(step int) {
			if step == 1 {
				first = said[0]
			}
		},
	})
	if want := fmt.Sprintf("warning: the 6 records of %s are skipped: %[1]s is listed in manifest.json and is not there: ", lostShard); !strings.HasPrefix(first, want) {
		t.Errorf("before the first step it said %q, want %q", first, want)
	}
	warnings := slices.DeleteFunc(slices.Clone(said), func(m string) bool { return !strings.HasPrefix(m, "warning: skipped: ") })
	if len(warnings) != 1 || !strings.Contains(warnings[0], filepath.Join(ds.Dir, badShard)+": row ") || !strings.Contains(warnings[0], " (train-1") || !strings.Contains(warnings[0], " is damaged: ") {
		t.Errorf("warnings %q of %q", warnings, said)
	}
	if s.End != EndEpochs || s.Steps != allSteps || s.Skipped != 7*epochs || last.Skipped != s.Skipped {
		t.Errorf("summary %+v, progress %+v", s, last)
	}
	var counts []int
	for _, l := range metrics(t, run) {
		if l.Event == report.EpochEvent {
			counts = append(counts, l.Skipped)
			if l.Images != 11 {
				t.Errorf("an epoch of %d images, want the 11 that are whole", l.Images)
			}
		}
	}
	if !slices.Equal(counts, []int{7, 14, 21}) {
		t.Errorf("skipped records in the lines of the epochs: %v", counts)
	}
	again := t.TempDir()
	other := skipping(config(again))
	other.Limits.Workers = 1
	train(t, other, ds, Hooks{})
	checkSame(t, run, again)
}

// Without damage it makes no difference.
func TestSkipNothing(t *testing.T) {
	ds := dataset(t, inShards)
	stop, skip := t.TempDir(), t.TempDir()
	train(t, config(stop), ds, Hooks{})
	s := train(t, skipping(config(skip)), ds, Hooks{})
	if s.Skipped != 0 {
		t.Errorf("%d records skipped", s.Skipped)
	}
	checkSame(t, stop, skip)
}

// What a run does with damaged records may change when it is resumed.
func TestStopThenSkip(t *testing.T) {
	ds := dataset(t, inShards)
	damage(t, ds, badShard)
	run, whole := t.TempDir(), t.TempDir()
	_, err := Run(t.Context(), config(run), engine(ds), ds, Hooks{})
	var corrupt *records.CorruptError
	if !errors.As(err, &corrupt) || filepath.Base(corrupt.File) != badShard || corrupt.Row < 0 ||
		!strings.Contains(err.Error(), fmt.Sprintf("%s: row %d (%s) is damaged: ", corrupt.File, corrupt.Row, corrupt.Key)) ||
		!strings.Contains(err.Error(), "; or train without such records: --on-corrupt skip; the last good checkpoint is ") {
		t.Fatalf("error %v", err)
	}
	train(t, skipping(resumed(t, run)), ds, Hooks{})
	train(t, skipping(config(whole)), ds, Hooks{})
	checkSame(t, whole, run)
	c, err := ReadConfig(run)
	if err != nil || c.Limits.OnCorrupt != pipeline.Skip {
		t.Errorf("config %+v, error %v", c.Limits, err)
	}
}

func TestAMissingShardStops(t *testing.T) {
	ds := damaged(t)
	_, err := Run(t.Context(), config(t.TempDir()), engine(ds), ds, Hooks{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), lostShard) || !strings.HasSuffix(err.Error(), "; or train without such records: --on-corrupt skip") {
		t.Errorf("error %v", err)
	}
}

// A step without a record cannot be taken.
func TestNothingLeft(t *testing.T) {
	ds := dataset(t, data)
	if err := os.Remove(filepath.Join(ds.Dir, records.ShardName("train", 0, 1))); err != nil {
		t.Fatal(err)
	}
	run := t.TempDir()
	_, err := Run(t.Context(), skipping(config(run)), engine(ds), ds, Hooks{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "step 0: none of its 4 records can be read; mend the records; the first: ") {
		t.Errorf("error %v", err)
	}
	c, _, err := checkpoint.Latest(run)
	if err != nil || c.Progress.Step != 0 || c.Progress.Skipped != 0 {
		t.Errorf("checkpoint %+v, error %v", c, err)
	}
}

// A short batch at the end of an epoch that has no record left is passed over: it
// would end the run, and each resumed one, at the same place.
func TestNothingLeftOfAShortBatch(t *testing.T) {
	ds := dataset(t, data)
	split, err := ds.OpenSplit(TrainSplit)
	if err != nil {
		t.Fatal(err)
	}
	defer split.Close()
	tr := &trainer{cfg: skipping(config(t.TempDir())), train: split, hooks: Hooks{}.complete(), ranks: collective.Alone{}}
	tr.tellLost()
	lost := errors.New("lost")
	short := pipeline.Batch{N: 2, Indices: []int64{0, 1}, Skipped: []pipeline.Skipped{{Slot: 0, Err: lost}, {Slot: 1, Err: lost}}}
	var g gathered
	if err := errors.Join(tr.learn(&lesson{Batch: short}, whole{2, 2}, &g, 0), tr.finish(&g)); err != nil || tr.p.Step != 1 || tr.p.StepInEpoch != 1 || tr.p.Skipped != 2 || tr.p.Totals.N != 0 {
		t.Errorf("progress %+v, error %v", tr.p, err)
	}
}

// Crops may have the last offset, and colours may be left alone from an epoch on.
func TestOptionsOfTheStream(t *testing.T) {
	ds := dataset(t, data)
	cfg := variant(config(t.TempDir()), "colors accumulate")
	cfg.Settings.InclusiveCrops, cfg.Settings.NoFlip = true, true
	both := cfg.Settings
	if both.CenterCrops = true; both.Check() == nil {
		t.Error("crops that are central and random are taken")
	}
	var opened []pipeline.Options
	cfg.openStream = func(ctx context.Context, ds *records.Dataset, split *records.Split, o pipeline.Options) (stream, error) {
		opened = append(opened, o)
		return openStream(ctx, ds, split, o)
	}
	train(t, cfg, ds, Hooks{})
	if len(opened) != 2 {
		t.Fatalf("%d streams were opened, want one with colours and one without", len(opened))
	}
	with, without := opened[0], opened[1]
	if with.Color == nil || with.Epoch != 0 || with.Epochs != 1 || !with.Inclusive || !with.NoFlip {
		t.Errorf("the first stream: %+v", with)
	}
	if without.Color != nil || without.Epoch != 1 || without.Epochs != 2 || without.Skip != 0 || !without.Inclusive || !without.NoFlip {
		t.Errorf("the second stream: %+v", without)
	}
	cfg = resumed(t, cfg.Run)
	cfg.Settings, cfg.Limits.Epochs, cfg.Limits.MaxSteps = variant(cfg, "colors accumulate").Settings, epochs+1, allSteps+2
	cfg.Settings.InclusiveCrops, cfg.Settings.NoFlip = true, true
	train(t, cfg, ds, Hooks{})
	cfg.Limits.MaxSteps++
	c, _, err := checkpoint.Latest(cfg.Run)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Resume, opened = c, nil
	cfg.openStream = func(ctx context.Context, ds *records.Dataset, split *records.Split, o pipeline.Options) (stream, error) {
		opened = append(opened, o)
		return openStream(ctx, ds, split, o)
	}
	train(t, cfg, ds, Hooks{})
	if len(opened) != 1 || opened[0].Skip != 2*2 || opened[0].Color != nil || opened[0].Epoch != epochs {
		t.Errorf("resumed after two steps of two batches: %+v", opened)
	}
}

// Central crops are asked of the stream.
func TestCentralCrops(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.Settings.CenterCrops, cfg.Limits.MaxSteps = true, 1
	asked := false
	cfg.openStream = func(ctx context.Context, ds *records.Dataset, split *records.Split, o pipeline.Options) (stream, error) {
		asked = o.Centered
		return openStream(ctx, ds, split, o)
	}
	if train(t, cfg, dataset(t, data), Hooks{}); !asked {
		t.Error("the stream has random crops")
	}
}

// Only training records can be done without.
func TestDamagedValidation(t *testing.T) {
	ds := dataset(t, data)
	file := records.ShardName("val", 0, 1)
	damage(t, ds, file)
	_, err := Run(t.Context(), skipping(config(t.TempDir())), engine(ds), ds, Hooks{})
	var corrupt *records.CorruptError
	if !errors.As(err, &corrupt) || filepath.Base(corrupt.File) != file || !strings.Contains(err.Error(), "evaluating val: no record may be left out of an evaluation: ") ||
		!strings.Contains(err.Error(), "step-00000005.safetensors") {
		t.Errorf("a damaged record: error %v", err)
	}
	if err := os.Remove(filepath.Join(ds.Dir, file)); err != nil {
		t.Fatal(err)
	}
	_, err = Run(t.Context(), skipping(config(t.TempDir())), engine(ds), ds, Hooks{})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), `records of split "val" cannot be skipped, since validations would not be comparable: `+file) {
		t.Errorf("a missing shard: error %v", err)
	}
}

// After so many damaged records the others are only counted.
func TestManyHoles(t *testing.T) {
	var said []string
	ds := dataset(t, traintest.Data{Classes: 2, Train: 40, Size: 8, Seed: 1})
	split, err := ds.OpenSplit(TrainSplit)
	if err != nil {
		t.Fatal(err)
	}
	tr := &trainer{train: split, hooks: Hooks{Message: func(m string) { said = append(said, m) }}.complete(), ranks: collective.Alone{}}
	defer tr.close(t.Context())
	tr.tellLost()
	cause := errors.New("a fault")
	for range 2 {
		for from := 0; from < 30; from += 10 {
			var b pipeline.Batch
			for i := range 10 {
				b.Indices = append(b.Indices, int64(from+i))
				b.Skipped = append(b.Skipped, pipeline.Skipped{Slot: i, Err: fmt.Errorf("record %d: %w", from+i, cause)})
			}
			tr.tellHoles(&b)
		}
		tr.countHoles()
	}
	if len(said) != maxNamed+1 || said[0] != "warning: skipped: record 0: a fault" || said[maxNamed-1] != "warning: skipped: record 19: a fault" ||
		!strings.HasPrefix(said[maxNamed], "warning: 10 more damaged records were skipped, 30 different ones so far; ") {
		t.Errorf("messages %q", said)
	}
}

// A run that is stopped anywhere and resumed has the same order with block shuffle
// too, whether the window is given again or not.
func TestResumeOfBlocks(t *testing.T) {
	ds := dataset(t, data)
	whole, global := t.TempDir(), t.TempDir()
	train(t, blocks(config(whole)), ds, Hooks{})
	train(t, config(global), ds, Hooks{})
	if reflect.DeepEqual(metrics(t, whole), metrics(t, global)) {
		t.Error("block shuffle is no other than global shuffle")
	}
	for _, k := range []int{1, 4, stepsPerEpoch, 7, allSteps - 1} {
		run := t.TempDir()
		first := blocks(config(run))
		first.Limits.MaxSteps = k
		train(t, first, ds, Hooks{})
		cfg := blocks(resumed(t, run))
		cfg.Settings.Window = 0
		train(t, cfg, ds, Hooks{Message: func(m string) {
			if strings.Contains(m, "window") {
				t.Errorf("resumed, it says %q", m)
			}
		}})
		checkSame(t, whole, run)
	}
}

// The window that a machine chooses is written down before the first step.
func TestChosenWindow(t *testing.T) {
	ds := dataset(t, data)
	run := t.TempDir()
	cfg := config(run)
	cfg.Settings.Shuffle = pipeline.ShuffleBlock
	var said string
	var early RunConfig
	train(t, cfg, ds, Hooks{
		Message: func(m string) { said += m + "\n" },
		Step: func(step int) {
			if step == 1 {
				early, _ = ReadConfig(run)
			}
		},
	})
	// Two blocks are the least, and these records are less than one.
	if early.Settings.Window != data.Train || early.Settings.Shuffle != pipeline.ShuffleBlock ||
		!strings.Contains(said, "block shuffle in windows of 18 records, chosen by the memory of this machine\n") {
		t.Errorf("config.json has %+v; messages %q", early.Settings, said)
	}
	var s Settings
	c, _, err := checkpoint.Latest(run)
	if err == nil {
		err = json.Unmarshal(c.Settings, &s)
	}
	if err != nil || s.Window != data.Train {
		t.Errorf("the checkpoint has %s, error %v", c.Settings, err)
	}
}

// Checkpoints of programs that knew one shuffle only are gone on with.
func TestOldSettings(t *testing.T) {
	ds := dataset(t, data)
	whole, run := t.TempDir(), t.TempDir()
	train(t, config(whole), ds, Hooks{})
	first := config(run)
	first.Limits.MaxSteps = 7
	train(t, first, ds, Hooks{})
	cfg := resumed(t, run)
	cfg.Resume.Settings = []byte(`{"batch":4,"seed":5,"momentum":0.9,"weight_decay":0.0005,` +
		`"schedule":{"kind":"plateau","base":0.01,"factor":0.1,"patience":1,"max_drops":3},"color":"stddev"}`)
	train(t, cfg, ds, Hooks{})
	checkSame(t, whole, run)

	cfg = blocks(resumed(t, run))
	cfg.Resume.Settings = []byte(strings.Replace(string(cfg.Resume.Settings), `"shuffle":"global"`, `"x":1`, 1))
	if err := Check(cfg, engine(ds).Net(), ds); err == nil || !strings.Contains(err.Error(), "shuffle: global in the checkpoint, block here") ||
		!strings.Contains(err.Error(), "x: 1 in the checkpoint, nothing here") {
		t.Errorf("error %v", err)
	}
}

// stalled is a stream that never delivers and that cannot be closed until let go.
type stalled struct {
	stream
	letGo chan struct{}
}

func (s *stalled) Next(ctx context.Context) (pipeline.Batch, bool) {
	<-ctx.Done()
	return pipeline.Batch{}, false
}
func (s *stalled) Close() error { <-s.letGo; return s.stream.Close() }

// A disk that does not answer keeps no cancelled run from saving and ending.
func TestInterruptWhileStalled(t *testing.T) {
	ds := dataset(t, data)
	run := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	letGo, closed := make(chan struct{}), make(chan struct{})
	cfg := config(run)
	cfg.openStream = func(ctx context.Context, ds *records.Dataset, split *records.Split, o pipeline.Options) (stream, error) {
		time.AfterFunc(time.Millisecond, cancel)
		s, err := openStream(ctx, ds, split, o)
		return &stalled{closing{s, closed}, letGo}, err
	}
	s, err := Run(ctx, cfg, engine(ds), ds, Hooks{})
	if err != nil || s.End != EndInterrupted || s.Steps != 0 {
		t.Errorf("summary %+v, error %v", s, err)
	}
	if _, err := checkpoint.Read(s.Checkpoint); err != nil {
		t.Error(err)
	}
	close(letGo)
	<-closed // by then the run has ended, long ago or not
	train(t, resumed(t, run), ds, Hooks{})
}

// closing tells when a stream is closed.
type closing struct {
	stream
	closed chan struct{}
}

func (c closing) Close() error {
	defer close(c.closed)
	return c.stream.Close()
}

// slow is a stream whose diagnosis is that of a slow disk.
type slow struct{ stream }

func (s slow) Diagnose(took pipeline.Stats) pipeline.Diagnosis {
	d := s.stream.Diagnose(took)
	d.Limit, d.WaitShare, d.DiskBytesPerSecond, d.Verdict = pipeline.LimitDisk, 0.38, 410e6, "the disk is the limit"
	return d
}

// What the stream says of itself gets to the progress, the metrics, the messages
// and the summary.
func TestDiagnosis(t *testing.T) {
	ds := dataset(t, data)
	run := t.TempDir()
	cfg := config(run)
	cfg.openStream = func(ctx context.Context, ds *records.Dataset, split *records.Split, o pipeline.Options) (stream, error) {
		s, err := openStream(ctx, ds, split, o)
		return slow{s}, err
	}
	var said []string
	var line string
	var shown []report.Line
	s := train(t, cfg, ds, Hooks{
		Message:  func(m string) { said = append(said, m) },
		Progress: func(s report.Status, _ bool) { line = s.String() },
		Metrics:  func(l report.Line) { shown = append(shown, l) },
	})
	if !strings.Contains(line, "waiting for data 38 % (disk, 410 MB/s)") {
		t.Errorf("progress %q", line)
	}
	for _, l := range shown {
		d := l.Loader
		if d == nil || l.WaitShare != 0.38 || d.WaitShare != 0.38 || d.Limit != pipeline.LimitDisk || d.DiskBytesPerSecond != 410e6 ||
			d.Ready < 0 || d.Busy.Read < 0 || l.ImagesPerSecond <= 0 || (d.Verdict != "") != (l.Event == report.EpochEvent) {
			t.Errorf("line %+v, loader %+v", l, d)
		}
	}
	count := 0
	for i, m := range said {
		if m == "the disk is the limit" {
			count++
			if !strings.HasPrefix(said[i-1], "epoch ") {
				t.Errorf("the verdict does not follow its epoch: %q", said)
			}
		}
	}
	if count != epochs || s.Verdict != "the disk is the limit" {
		t.Errorf("messages %q, summary %+v", said, s)
	}
	// Where no step was taken, the last verdict stands; where one was, its own.
	if s := train(t, resumed(t, run), ds, Hooks{}); s.Verdict != "the disk is the limit" {
		t.Errorf("resumed after the end: %+v", s)
	}
	more := resumed(t, run)
	more.Limits.Epochs++
	more.Limits.MaxSteps = allSteps + 1
	if s := train(t, more, ds, Hooks{}); s.Verdict == "the disk is the limit" || s.Verdict == "" {
		t.Errorf("resumed for a step: %+v", s)
	}
}

// The trainer's own time and that of validations do not count as waiting: a run
// whose batches are always ready is limited by its training, or by next to nothing.
func TestSpans(t *testing.T) {
	clock := &clocked{}
	tr := &trainer{stream: clock, hooks: Hooks{}.complete(), ranks: collective.Alone{}}
	clock.s = pipeline.Stats{Elapsed: 10 * time.Second, ConsumerWait: 2 * time.Second}
	tr.worked(100)
	if v := tr.speedOf(tr.window); v.imagesPerSecond != 10 {
		t.Errorf("%v images/s, want 100 in 10 s", v.imagesPerSecond)
	}
	tr.window = span{since: clock.s} // a step line
	clock.s.Elapsed += 4 * time.Second
	clock.s.ConsumerWait += time.Second
	tr.worked(60)
	end := tr.pause()
	clock.s.Elapsed += time.Hour
	clock.s.ConsumerWait += time.Minute
	end()
	clock.s.Elapsed += 2 * time.Second
	clock.s.ConsumerWait += 500 * time.Millisecond
	tr.worked(60)
	if v := tr.speedOf(tr.window); v.imagesPerSecond != 20 || v.loader.WaitShare != 0.25 {
		t.Errorf("window: %v images/s, waiting %v; want 120 in 6 s, 1.5 s of it waiting", v.imagesPerSecond, v.loader.WaitShare)
	}
	if v := tr.speedOf(tr.epoch); v.imagesPerSecond != 220./16 || v.loader.WaitShare != 3.5/16 {
		t.Errorf("epoch: %v images/s, waiting %v; want 220 in 16 s, 3.5 s of it waiting", v.imagesPerSecond, v.loader.WaitShare)
	}
}

// clocked is a stream of given statistics.
type clocked struct {
	stream
	s pipeline.Stats
}

func (c *clocked) Stats() pipeline.Stats { return c.s }
func (c *clocked) Diagnose(took pipeline.Stats) pipeline.Diagnosis {
	return pipeline.Diagnosis{WaitShare: took.WaitShare()}
}
