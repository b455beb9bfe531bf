package main

import (
	"os"
	"strconv"
	"strings"
)

// processMemory reads what the kernel says; where it says nothing, what Go has
// of the system, which the caller knows, stands for it.
func processMemory(sys uint64) memoryUse {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return memoryUse{all: sys, anonymous: sys}
	}
	var use memoryUse
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 50)
		switch name {
		case "VmRSS":
			use.all = kib << 10
		case "RssAnon":
			use.anonymous = kib << 10
		case "RssFile":
			use.files = kib << 10
		}
	}
	return use
}
