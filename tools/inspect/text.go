package main

import (
	"fmt"
	"strconv"

	"alexnet/model"
	"alexnet/tools/cli"
)

// shape writes a shape as the paper does: 96x55x55, and 4096 for a vector.
func shape(s model.Shape) string {
	if s.H == 1 && s.W == 1 {
		return strconv.Itoa(s.C)
	}
	return fmt.Sprintf("%dx%dx%d", s.C, s.H, s.W)
}

// orBlank is cli.FormatCount, with nothing for 0.
func orBlank(n int64) string {
	if n == 0 {
		return ""
	}
	return cli.FormatCount(n)
}
