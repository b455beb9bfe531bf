package cli

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseBytes reads a number of bytes that may be written with a unit: B, kB, MB,
// GB, TB (powers of 1000), KiB, MiB, GiB, TiB (powers of 1024). Without one it is bytes.
// It may be 0, and parts of a byte are cut off.
func ParseBytes(text string) (int64, error) {
	s := strings.TrimSpace(text)
	number := strings.TrimRight(s, "BKMGTikmgtb ")
	unit, known := map[string]float64{
		"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
		"KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40,
	}[strings.ToUpper(strings.TrimSpace(s[len(number):]))]
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || !known || !(v*unit >= 0) || v*unit > math.MaxInt64/2 {
		return 0, fmt.Errorf("%q is not a size; write for example 256MB or 1GiB", s)
	}
	return int64(v * unit), nil
}

// FormatBytes gives a number of bytes as people read it: "256.0 MB".
func FormatBytes(n int64) string {
	v, unit := float64(n), "B"
	for _, u := range []string{"kB", "MB", "GB", "TB"} {
		if v < 1000 {
			break
		}
		v, unit = v/1000, u
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}

// FormatCount writes a number with commas between thousands: 1,281,167.
func FormatCount[T int | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
