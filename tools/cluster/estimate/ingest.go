package main

import (
	"fmt"
	"io"
)

// ILSVRC2012 as it is downloaded: the archives of training, validation and test.
const (
	pictures    = 1281167 + 50000 + 100000
	sourceBytes = 138e9 + 6.3e9 + 13e9
)

// conversion is the time of the parts of ingest, in seconds, each as if it were alone.
type conversion struct {
	processor, read, write float64
}

// convert reckons ingest of the whole source in so many tasks.
func (f *flags) convert(tasks int) conversion {
	gbit := min(float64(tasks)*f.TaskGbit, f.StoreGbit)
	return conversion{
		processor: pictures / (f.PicturesPerCore * float64(tasks*f.Cores)),
		read:      sourceBytes * 8 / (gbit * 1e9),
		write:     pictures * float64(f.Bytes) * 8 / (gbit * 1e9),
	}
}

// all is the time of a job whose parts run side by side, and what limits it.
func (c conversion) all() (seconds float64, limit string) {
	seconds, limit = c.processor, "processors"
	if c.read > seconds {
		seconds, limit = c.read, "reading"
	}
	if c.write > seconds {
		seconds, limit = c.write, "writing"
	}
	return seconds, limit
}

// writeIngest prints the table of ingest.
func (f *flags) writeIngest(out io.Writer) error {
	_, err := fmt.Fprintf(out, `Estimate: ingest of all %d pictures of ILSVRC2012 (%.0f GB, records %.0f GB), %d processors a task, %g pictures a second of each;
%g Gbit/s a task and %g in all, each way.

| tasks | decoding and the rest | reading | writing | together | limit |
| --- | --- | --- | --- | --- | --- |
`, pictures, sourceBytes/1e9, pictures*float64(f.Bytes)/1e9, f.Cores, f.PicturesPerCore, f.TaskGbit, f.StoreGbit)
	if err != nil {
		return err
	}
	for _, n := range f.Tasks {
		c := f.convert(n)
		all, limit := c.all()
		if _, err := fmt.Fprintf(out, "| %d | %s | %s | %s | %s | %s |\n", n, seconds(c.processor), seconds(c.read), seconds(c.write), seconds(all), limit); err != nil {
			return err
		}
	}
	return nil
}
