package loop

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"alexnet/model"
	"alexnet/train/checkpoint"
)

// What a program wrote that knew neither inclusive crops, nor warm-up, nor uniform
// initial values.
const (
	oldSettings = `{"batch":4,"seed":5,"momentum":0.9,"weight_decay":0.0005,"schedule":{"kind":"plateau","base":0.01,"factor":0.1,"patience":1,"max_drops":3},"color":"stddev","shuffle":"global"}`
	oldNet      = `{"name":"linear","input":{"c":3,"h":8,"w":8},"classes":6,"layers":[{"name":"fc1","kind":"fc","out":6,"init_std":0.0001},{"name":"prob","kind":"softmax"}]}`
)

// A checkpoint of an older program is gone on with, and the run ends as one of this
// program.
func TestResumeOfAnOldCheckpoint(t *testing.T) {
	ds := dataset(t, data)
	whole, run := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "run")
	train(t, config(whole), ds, Hooks{})
	first := config(run)
	first.Limits.MaxSteps = 7
	train(t, first, ds, Hooks{})
	cfg := resumed(t, run)
	cfg.Resume.Settings, cfg.Resume.Net = json.RawMessage(oldSettings), new(model.Net)
	if err := json.Unmarshal([]byte(oldNet), cfg.Resume.Net); err != nil {
		t.Fatal(err)
	}
	store := checkpoint.Store{Run: run, Keep: 2}
	if _, err := store.Save(cfg.Resume); err != nil {
		t.Fatal(err)
	}
	train(t, resumed(t, run), ds, Hooks{})
	checkSame(t, whole, run)
}
