package cli

import (
	"strings"
	"testing"
)

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "17": 17, "0.5KB": 500, "256MB": 256e6, " 1 gib ": 1 << 30, "1.5GiB": 3 << 29, "2k": 2000, "2TB": 2e12, "1TiB": 1 << 40,
		"": -1, "MB": -1, "-1": -1, "-0.1MB": -1, "1XB": -1, "1e30": -1, "NaN": -1, "Inf": -1, "1 2": -1,
	} {
		got, err := ParseBytes(text)
		if err != nil {
			got = -1
			if !strings.Contains(err.Error(), "is not a size; write for example 256MB or 1GiB") {
				t.Errorf("%q: error %v", text, err)
			}
		}
		if got != want {
			t.Errorf("%q is %d bytes, want %d", text, got, want)
		}
	}
}

func TestFormatBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 180522442: "180.5 MB", 503316480000: "503.3 GB"} {
		if got := FormatBytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestFormatCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 60965224: "60,965,224", -999: "-999", -1000: "-1,000", -123456: "-123,456"} {
		if got := FormatCount(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
