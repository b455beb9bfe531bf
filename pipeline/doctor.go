package pipeline

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"alexnet/records"
)

// Limit names what keeps a stream from being faster.
type Limit string

// The limits.
const (
	// LimitConsumer: batches wait for the consumer. Nothing here is too slow.
	LimitConsumer Limit = "consumer"
	// LimitDisk: workers wait for records to be in memory.
	LimitDisk Limit = "disk"
	// LimitStore: workers wait for records to come from an object store.
	LimitStore Limit = "store"
	// LimitRead: workers read records from memory: for the first time, with their
	// checksums and the system's page tables, or decompressing them.
	LimitRead Limit = "read"
	// LimitAugment: workers make images.
	LimitAugment Limit = "augment"
	// LimitOrder: the feeder draws the order of an epoch.
	LimitOrder Limit = "order"
	// LimitRing: workers are idle though the consumer waits, because the ring
	// has no buffer for them: the consumer holds too many, or wants them in
	// bursts.
	LimitRing Limit = "ring"
)

// Stage is how a stage spent its time: shares of the elapsed time, over all its
// goroutines, that add up to 1.
type Stage struct {
	Name string `json:"stage"`
	// Goroutines is their number; fetch, read and augment are done by the same.
	Goroutines int `json:"goroutines"`
	// Busy is the share spent working, Input that spent waiting for something to
	// work on, Output that spent waiting for room for the result.
	Busy   float64 `json:"busy"`
	Input  float64 `json:"waits_for_input"`
	Output float64 `json:"waits_for_output"`
	// BytesPerSecond is what the stage brought forth: fetch from disks and stores, read
	// stored pixels, augment images, consumer the images that it took.
	BytesPerSecond float64 `json:"bytes_per_second"`
	// Queue is the mean or present number of things that wait for this stage:
	// runs of records for the workers, batches for the consumer.
	Queue float64 `json:"queue"`
}

// Diagnosis is what a stream's Stats say.
type Diagnosis struct {
	Limit Limit `json:"limit"`
	// WaitShare is the share of the time that the consumer waits.
	WaitShare float64 `json:"wait_share"`
	// ImagesPerSecond is what came out, Possible what the workers would have
	// made had they been busy all the time.
	ImagesPerSecond float64 `json:"images_per_second"`
	Possible        float64 `json:"possible_images_per_second"`
	// DiskBytesPerSecond is what the process had read from disks, DiskPeak the
	// most that Diagnose has seen in this stream.
	DiskBytesPerSecond float64 `json:"disk_bytes_per_second"`
	DiskPeak           float64 `json:"disk_peak_bytes_per_second"`
	// StoreBytesPerSecond is what came from an object store.
	StoreBytesPerSecond float64 `json:"store_bytes_per_second,omitempty"`
	Skipped             int64   `json:"skipped"`
	Stages              []Stage `json:"stages"`
	// Verdict says it in a sentence, with what would help.
	Verdict string `json:"verdict"`
}

// littleWait is the share of waiting below which the consumer is the limit, someWait
// that below which it may be so all the same, as it is slow to take what is ready:
// batches that come in bursts are ready, too, but it waits for them.
const littleWait, someWait = 0.02, 0.2

// Diagnose says what limited the stream in the time that s is of: its Stats, or
// the difference of two.
func (p *Pipeline) Diagnose(s Stats) Diagnosis {
	seconds := s.Elapsed.Seconds()
	d := Diagnosis{WaitShare: s.WaitShare(), Skipped: s.Skipped, Stages: stages(s)}
	if seconds > 0 {
		d.ImagesPerSecond = float64(s.Images) / seconds
		d.DiskBytesPerSecond = float64(s.DiskBytes) / seconds
		d.StoreBytesPerSecond = float64(s.StoreBytes) / seconds
	}
	if busy := s.Busy().Seconds(); busy > 0 {
		d.Possible = float64(s.Images) / busy * float64(s.Workers)
	}
	d.DiskPeak = p.meter.peak(s)
	d.Limit = limit(s)
	d.Verdict = p.verdict(s, d)
	return d
}

// stages returns the shares of each stage.
func stages(s Stats) []Stage {
	all := s.Elapsed * max(1, durationOf(s.Workers))
	perSecond := func(bytes int64) float64 {
		if s.Elapsed <= 0 {
			return 0
		}
		return float64(bytes) / s.Elapsed.Seconds()
	}
	order := Stage{Name: "order", Goroutines: 1, Busy: shareOf(s.Order, s.Elapsed), Output: shareOf(s.BufferWait, s.Elapsed)}
	order.Input = max(0, 1-order.Busy-order.Output)
	fetch := Stage{Name: "fetch", Goroutines: s.Workers, Busy: shareOf(s.Fetch, all), BytesPerSecond: perSecond(s.DiskBytes + s.StoreBytes), Queue: float64(s.Queued)}
	read := Stage{Name: "read", Goroutines: s.Workers, Busy: shareOf(s.Read, all), BytesPerSecond: perSecond(s.StoredBytes)}
	augment := Stage{Name: "augment", Goroutines: s.Workers, Busy: shareOf(s.Augment, all), BytesPerSecond: perSecond(s.Bytes)}
	// The three take turns in the same goroutines: what none of them takes, all
	// spend waiting for a buffer to fill.
	idle := max(0, 1-fetch.Busy-read.Busy-augment.Busy)
	for _, stage := range []*Stage{&fetch, &read, &augment} {
		stage.Output = idle
		stage.Input = max(0, 1-idle-stage.Busy)
	}
	consumer := Stage{Name: "consumer", Goroutines: 1, Input: s.WaitShare(), BytesPerSecond: perSecond(s.Bytes)}
	consumer.Busy = 1 - consumer.Input
	if s.Batches > 0 {
		consumer.Queue = float64(s.ReadySum) / float64(s.Batches)
	}
	return []Stage{order, fetch, read, augment, consumer}
}

// limit finds what limits the stream.
func limit(s Stats) Limit {
	busy := shareOf(s.Busy(), s.Elapsed*durationOf(s.Workers))
	switch {
	case s.WaitShare() <= littleWait:
		return LimitConsumer
	case shareOf(s.Order, s.Elapsed) > max(busy, 0.5):
		return LimitOrder
	case s.ReadySum > 2*s.Batches && s.WaitShare() <= someWait:
		return LimitConsumer // batches were there: it is slow to take them
	case busy < 0.5 && shareOf(s.BufferWait, s.Elapsed) > 0.25:
		return LimitRing
	case s.Fetch >= s.Augment && s.Fetch >= s.Read && s.Requests > 0:
		return LimitStore
	case s.Fetch >= s.Augment && s.Fetch >= s.Read && (!diskKnown || s.DiskBytes > s.StoredBytes/20):
		return LimitDisk
	case s.Fetch+s.Read >= s.Augment:
		return LimitRead
	}
	return LimitAugment
}

// verdict says it in words.
func (p *Pipeline) verdict(s Stats, d Diagnosis) string {
	if s.Records == 0 && d.Limit == LimitConsumer {
		return "nothing was made in this time: the trainer has all it can hold"
	}
	waits := fmt.Sprintf("the trainer waits %.0f %% of the time", 100*d.WaitShare)
	var text string
	switch d.Limit {
	case LimitConsumer:
		text = fmt.Sprintf("the trainer is the limit: it waits %.1f %% of the time; the loader could make %s images/s", 100*d.WaitShare, round(d.Possible))
	case LimitDisk:
		text = "the disk is the limit"
		if d.DiskPeak > 0 { // else the system does not tell
			text += fmt.Sprintf(": %s MB/s, at most %s seen", round(d.DiskBytesPerSecond/1e6), round(d.DiskPeak/1e6))
		}
		text += "; " + waits
		if help := p.lessToRead(); help != "" {
			text += "; " + help
		}
	case LimitStore:
		text = fmt.Sprintf("the object store is the limit: %s MB/s, %d records asked for at a time; %s; more at a time, or a cache of it on a disk, would help",
			round(d.StoreBytesPerSecond/1e6), s.Requests, waits)
		if help := p.lessToRead(); help != "" {
			text += "; " + help
		}
	case LimitRead:
		what, help := "reading records for the first time", "the next epoch will be faster"
		if s.Requests > 0 {
			what, help = "checking records", "memory for all of them would do without"
		}
		if p.packed {
			what, help = "decompression", "records without --compress, or memory for all of them decompressed, would do without"
		}
		text = fmt.Sprintf("%s is the limit: %s of the workers' time; %s; %s", what, percent(s.Fetch+s.Read, s), waits, help)
	case LimitAugment:
		text = fmt.Sprintf("making images is the limit: %s of the time of %d workers; %s", percent(s.Augment, s), s.Workers, waits)
		if spare := runtime.GOMAXPROCS(0) - s.Workers; spare > 0 {
			text += fmt.Sprintf("; %d processors have no worker", spare)
		}
	case LimitOrder:
		text = fmt.Sprintf("drawing the order is the limit; %s", waits)
	case LimitRing:
		text = fmt.Sprintf("the ring is the limit: %d batches, and workers without one to fill; %s; more depth, or releasing batches earlier, would help", s.Depth, waits)
	}
	if s.Skipped > 0 {
		text += fmt.Sprintf("; %d damaged records were skipped", s.Skipped)
	}
	return text
}

// lessToRead says what would take load off the disk.
func (p *Pipeline) lessToRead() string {
	var help []string
	if p.pixels == records.Int16 && !p.packed {
		help = append(help, "uint8 records would halve it")
	}
	if p.o.Train && p.o.Shuffle == ShuffleGlobal && p.ahead.drop && p.loads == nil {
		help = append(help, "block shuffle would read in sequence")
	}
	return strings.Join(help, ", ")
}

// percent is the share of the workers' time that d is.
func percent(d time.Duration, s Stats) string {
	return fmt.Sprintf("%.0f %%", 100*shareOf(d, s.Elapsed*durationOf(s.Workers)))
}

// durationOf makes a factor for a duration.
func durationOf(n int) time.Duration { return time.Duration(n) }

// round writes a number with three figures or more.
func round(x float64) string {
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2f", x)
}
