package source

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"alexnet/records/bucket"
	"alexnet/records/bucket/buckettest"
)

// distant is a store that answers after 20 ms, with 50 MB/s for each request.
type distant struct{ *buckettest.Memory }

func (d distant) ReadAt(ctx context.Context, name, version string, p []byte, off int64) error {
	time.Sleep(20*time.Millisecond + time.Duration(len(p))*time.Second/50e6)
	return d.Memory.ReadAt(ctx, name, version, p, off)
}

// BenchmarkScanStore lists archives of pictures with 110 kB each, as ILSVRC's
// have, in a store, with windows of several sizes; 2 KiB is the one for files.
func BenchmarkScanStore(b *testing.B) {
	body := strings.Repeat("x", 110_000)
	var outer, flat []string
	for class := range 40 {
		var inner []string
		for i := range 30 {
			inner = append(inner, fmt.Sprintf("n0144%04d_%d.JPEG", class, i), body)
		}
		outer = append(outer, fmt.Sprintf("n0144%04d.tar", class), string(pack(b, tar.FormatUSTAR, inner...)))
		flat = append(flat, inner[:len(inner)/2]...)
	}
	for name, data := range map[string][]byte{"classes": pack(b, tar.FormatUSTAR, outer...), "flat": pack(b, tar.FormatUSTAR, flat...)} {
		m := distant{new(buckettest.Memory)}
		if err := m.Put(b.Context(), "x.tar", bytes.NewReader(data), int64(len(data)), bucket.Replace); err != nil {
			b.Fatal(err)
		}
		for _, how := range []reach{near, {far.few, 1 << 16, 0}, {far.few, 1 << 18, 0}, far, lone, {far.few, 1 << 22, 0}, {far.few, 1 << 22, 8}} {
			b.Run(fmt.Sprintf("%s/%dKiB-%d", name, how.many>>10, how.more), func(b *testing.B) {
				for b.Loop() {
					s, err := openStore(b.Context(), m, "x.tar")
					if err != nil {
						b.Fatal(err)
					}
					f, err := openTar(s, "mem://test/x.tar")
					if err != nil {
						b.Fatal(err)
					}
					l, err := scanArchive(b.Context(), tarFile{r: f.ReaderAt, name: "x.tar", size: f.id.Size, reach: how, tars: s.scanners()}, Train)
					if err != nil || len(l.items) < 600 {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(len(data))/1e6*float64(b.N)/b.Elapsed().Seconds(), "tar-MB/s")
			})
		}
	}
}
