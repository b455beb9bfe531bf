package main

import "alexnet/tools/cli"

// flags are the command line.
type flags struct {
	Net     string    `default:"alexnet" help:"The net that is trained."`
	Rate    []float64 `placeholder:"N" help:"Images a second of a rank that trains alone, forward, backward and update (default: three known ones)."`
	Batch   int       `default:"512" help:"Images of a rank's slice of a batch, at most."`
	Largest int       `default:"32768" help:"Images of a batch, of all ranks together, at most."`
	Ranks   []int     `default:"8,64,1024" help:"Numbers of ranks."`
	Gbit    []float64 `default:"10,100,400" help:"What a rank sends, and at the same time receives, in Gbit/s."`
	Latency float64   `default:"5" help:"Microseconds that a message takes beside its bytes."`

	Tasks           []int   `default:"1,8,64" help:"Numbers of tasks that share ingest."`
	Cores           int     `default:"8" help:"Processors of a task."`
	PicturesPerCore float64 `default:"470" help:"Pictures that ingest makes in a second of processor time."`
	Bytes           int64   `default:"393216" help:"Bytes of a record: 393216 for int16, 196608 for uint8."`
	TaskGbit        float64 `default:"10" help:"What a task reads, and at the same time writes, in Gbit/s."`
	StoreGbit       float64 `default:"100" help:"What the store gives to all tasks together, and takes, in Gbit/s."`
}

// check finds numbers that no estimate can be made of.
func (f *flags) check() error {
	least := min(float64(f.Batch), float64(f.Largest), float64(f.Cores), f.PicturesPerCore, float64(f.Bytes), f.TaskGbit, f.StoreGbit)
	for _, list := range [][]float64{f.Rate, f.Gbit} {
		for _, v := range list {
			least = min(least, v)
		}
	}
	for _, list := range [][]int{f.Ranks, f.Tasks} {
		for _, v := range list {
			least = min(least, float64(v))
		}
	}
	for _, w := range f.Ranks {
		least = min(least, float64(f.Largest/max(w, 1))) // an image for each
	}
	if !(least > 0) || !(f.Latency >= 0) {
		return cli.Usagef("all numbers must be positive, and a batch have an image for each rank")
	}
	return nil
}
