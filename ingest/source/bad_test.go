package source_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"alexnet/ingest/source"
	"alexnet/tools/drawn"
)

// TestBadSources opens what cannot be taken, and checks the whole message: the
// place, the cause, and what to do. DIR stands for the source's folder.
func TestBadSources(t *testing.T) {
	const (
		give      = "; give the folder that holds train/<wnid>/ and val/, or ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz"
		fill      = "; put the images there, or remove the folder"
		fillClass = "; every class folder must hold an image: put some there, or remove the folder"
		fetch     = "; take the file from ILSVRC2012_devkit_t12.tar.gz"
		md5       = "download it again (the original has the MD5 "
		foreign   = "; remove the devkit and its ground truth if the set is another one, or list its classes with --classes FILE"
		oneAClass = "; a training archive is a tar of one tar a class, named by its WNID"
		noTruth   = "is a flat validation set, and the ground truth that labels it is missing; put ILSVRC2012_devkit_t12.tar.gz or ILSVRC2012_validation_ground_truth.txt into DIR, or sort the images into val/<wnid>/"
	)
	const (
		kaggle     = "ILSVRC/Data/CLS-LOC/"
		fromKaggle = "; take the file from Kaggle again"
		cifarAgain = "; unpack it again from cifar-10-binary.tar.gz, or download that again"
		images     = "t10k-images-idx3-ubyte"
		labels     = "t10k-labels-idx1-ubyte"
		idxAgain   = "; download or unpack the file again"
	)
	packedCIFAR := gzipped(t, tarOf(t, smallCIFAR("")...))
	type kind int
	const (
		unsupported kind = iota
		malformed
		failed
	)
	class := tarOf(t, "n01440764_1.JPEG", "x")
	val := tarOf(t, "ILSVRC2012_val_00000010.JPEG", "x")
	otherYear, err := drawn.Meta([]source.Synset{{WNID: "n01440764", ID: 1, Words: "tench"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		files []string
		path  string
		o     source.Options
		want  string
		kind  kind
	}{
		"missing":      {nil, "nowhere", source.Options{}, "DIR/nowhere: no such file or directory; give the folder that holds train/ and val/, or the ILSVRC2012 archives, or one archive", failed},
		"empty folder": {nil, "", source.Options{}, "DIR: is an empty folder" + give, unsupported},
		"no images":    {[]string{"a.txt", "x"}, "", source.Options{}, "DIR: holds neither train/ nor val/, nor the ILSVRC2012 archives, nor class folders" + give, unsupported},
		"no layout":    {[]string{"dogs/a.JPEG", "x"}, "", source.Options{Layout: "ilsvrc"}, "DIR: holds neither train/ nor val/, nor the ILSVRC2012 archives" + give, unsupported},
		"loose images": {[]string{"a.JPEG", "x"}, "", source.Options{}, "DIR: holds images, but no class folders that would label them" + give, unsupported},
		"deeper":       {[]string{"ILSVRC2012/train/n01440764/a.JPEG", "x"}, "", source.Options{}, "DIR: holds no images, they seem to lie deeper; give DIR/ILSVRC2012", unsupported},
		"deep kaggle":  {[]string{"data/ILSVRC/Data/CLS-LOC/train/n01440764/a.JPEG", "x"}, "", source.Options{}, "DIR: holds no images, they seem to lie deeper; give DIR/data", unsupported},
		"layout":       {nil, "", source.Options{Layout: "zip"}, `DIR: the layout "zip" is not known; use auto, ilsvrc, kaggle, folder, cifar10, cifar100 or mnist`, unsupported},
		"limit":        {[]string{"train/n01440764/a.JPEG", "x"}, "", source.Options{Limit: -1}, "DIR: a limit of -1 images; give a number above 0, or 0 for all", unsupported},

		"empty train":      {[]string{"train/", ""}, "", source.Options{}, "DIR/train: is an empty folder" + fill, unsupported},
		"empty val":        {[]string{"train/n01440764/a.JPEG", "x", "val/", ""}, "", source.Options{}, "DIR/val: is an empty folder" + fill, unsupported},
		"empty class":      {[]string{"train/n01440764/a.JPEG", "x", "train/n01443537/", ""}, "", source.Options{}, "DIR/train/n01443537: is empty" + fillClass, unsupported},
		"class without":    {[]string{"train/n01440764/Thumbs.db", "x"}, "", source.Options{}, "DIR/train/n01440764: holds no image (.JPEG, .jpg, .png), only other files (Thumbs.db: no image extension)" + fillClass, unsupported},
		"plain without":    {[]string{"dogs/a.txt", "x"}, "", source.Options{}, "DIR/dogs: holds no image (.JPEG, .jpg, .png), only other files (a.txt: no image extension)" + fillClass, unsupported},
		"flat train":       {[]string{"train/a.JPEG", "x"}, "", source.Options{}, "DIR/train: holds images (a.JPEG) but no class folders, so they have no labels; put the images of each class into a folder named by its WNID", unsupported},
		"half unpacked":    {[]string{"train/n01440764.tar", class, "train/n01443537.tar", class}, "", source.Options{}, "DIR/train: holds 2 tars and no class folders; unpack each into a folder of its name, or give the original ILSVRC2012_img_train.tar as it is", unsupported},
		"only text in val": {[]string{"val/a.txt", "x"}, "", source.Options{}, "DIR/val: holds no image (.JPEG, .jpg, .png), only other files (a.txt: no image extension)" + fill, unsupported},
		"mixed val":        {[]string{"val/n01440764/a.JPEG", "x", "val/b.JPEG", "x"}, "", source.Options{}, "DIR/val: holds class folders (n01440764) and images (b.JPEG) side by side; keep either one folder a class, or images only", unsupported},

		"no truth":         {[]string{"val/ILSVRC2012_val_00000010.JPEG", "x"}, "", source.Options{}, "DIR/val: " + noTruth, unsupported},
		"no truth tar":     {[]string{"ILSVRC2012_img_val.tar", val}, "ILSVRC2012_img_val.tar", source.Options{}, "DIR/ILSVRC2012_img_val.tar: " + noTruth, unsupported},
		"no truth in kit":  {[]string{"ILSVRC2012_img_val.tar", val, devkitName, gzipped(t, tarOf(t, "kit/readme.txt", "x"))}, "", source.Options{}, "DIR/ILSVRC2012_devkit_t12.tar.gz: holds neither meta.mat nor ILSVRC2012_validation_ground_truth.txt; " + md5 + "fa75699e90414af021442c21a62c3abf)", malformed},
		"empty truth":      {[]string{"val/ILSVRC2012_val_00000010.JPEG", "x", truthName, "\n"}, "", source.Options{}, "DIR/ILSVRC2012_validation_ground_truth.txt: is empty" + fetch, malformed},
		"labels as truth":  {[]string{"val/ILSVRC2012_val_00000010.JPEG", "x", truthName, "65\n970\n0\n"}, "", source.Options{}, `DIR/ILSVRC2012_validation_ground_truth.txt: line 3: "0" is no devkit id (1 to 1000)` + fetch, malformed},
		"WNIDs as truth":   {[]string{"val/ILSVRC2012_val_00000010.JPEG", "x", "data/" + truthName, "n01751748\n"}, "", source.Options{}, `DIR/data/ILSVRC2012_validation_ground_truth.txt: line 1: "n01751748" is no devkit id (1 to 1000)` + fetch, malformed},
		"short truth":      {[]string{"val/ILSVRC2012_val_00000012.JPEG", "x", truthName, elevenLines}, "", source.Options{}, "DIR/val: ILSVRC2012_val_00000012.JPEG has the number 12, the ground truth DIR/ILSVRC2012_validation_ground_truth.txt has 11 lines" + fetch[:2] + "take the ground truth from ILSVRC2012_devkit_t12.tar.gz", unsupported},
		"number 0":         {[]string{"val/ILSVRC2012_val_00000000.JPEG", "x", truthName, elevenLines}, "", source.Options{}, "DIR/val: ILSVRC2012_val_00000000.JPEG has the number 0, the ground truth DIR/ILSVRC2012_validation_ground_truth.txt has 11 lines; take the ground truth from ILSVRC2012_devkit_t12.tar.gz", unsupported},
		"no number":        {[]string{"val/cat.JPEG", "x", truthName, elevenLines}, "", source.Options{}, "DIR/val: cat.JPEG has no number that the ground truth could label; name validation images ILSVRC2012_val_NNNNNNNN.JPEG, or sort them into val/<wnid>/", unsupported},
		"devkit alone":     {[]string{devkitName, gzipped(t, tarOf(t, truthName, elevenLines))}, devkitName, source.Options{}, "DIR/ILSVRC2012_devkit_t12.tar.gz: is a devkit and holds no images; give the folder that holds it and the archives of images", unsupported},
		"other year":       {[]string{"train/n01440764/a.JPEG", "x", "data/meta.mat", string(otherYear)}, "", source.Options{}, "DIR/data/meta.mat: devkit id 1 is n01440764 here and n02119789 in ILSVRC 2012; this is the devkit of another year or task; use ILSVRC2012_devkit_t12.tar.gz", unsupported},
		"no meta":          {[]string{"train/n01440764/a.JPEG", "x", "meta.mat", "text"}, "", source.Options{}, "DIR/meta.mat: is no MATLAB file: 4 bytes, the header alone has 128" + fetch, malformed},
		"truncated devkit": {[]string{"train/n01440764/a.JPEG", "x", devkitName, gzipped(t, tarOf(t, truthName, elevenLines))[:60]}, "", source.Options{}, "DIR/ILSVRC2012_devkit_t12.tar.gz: is truncated; " + md5 + "fa75699e90414af021442c21a62c3abf)", malformed},
		"empty devkit":     {[]string{"train/n01440764/a.JPEG", "x", devkitName, ""}, "", source.Options{}, "DIR/ILSVRC2012_devkit_t12.tar.gz: is truncated; " + md5 + "fa75699e90414af021442c21a62c3abf)", malformed},

		"no WNID":       {[]string{"train/dogs/a.JPEG", "x", truthName, elevenLines}, "", source.Options{}, `DIR/train: "dogs" is no WNID (n and eight digits), as class names must be where ILSVRC2012's devkit labels` + foreign, unsupported},
		"unknown WNID":  {[]string{"train/n99999999/a.JPEG", "x", truthName, elevenLines}, "", source.Options{}, "DIR/train: the class n99999999 is not among the 1000 of ILSVRC2012" + foreign, unsupported},
		"no WNID tar":   {[]string{"train.tar", tarOf(t, "dogs.tar", class), truthName, elevenLines}, "", source.Options{}, `DIR/train.tar: "dogs" is no WNID (n and eight digits), as class names must be where ILSVRC2012's devkit labels` + foreign, unsupported},
		"not in list":   {[]string{"train/dogs/a.JPEG", "x", "list", "cats\n"}, "", source.Options{ClassesFile: "DIR/list"}, "DIR/train: the class dogs is not among the 1 of DIR/list; add it to the file, or leave --classes out", unsupported},
		"val not in":    {[]string{"val/ILSVRC2012_val_00000010.JPEG", "x", truthName, elevenLines, "list", "n01440764"}, "", source.Options{ClassesFile: "DIR/list"}, "DIR/val: ILSVRC2012_val_00000010.JPEG is of class n02328150 (devkit id 164), which is not among the 1 of DIR/list; add it to the file, or leave --classes out", unsupported},
		"no list":       {[]string{"train/dogs/a.JPEG", "x"}, "", source.Options{ClassesFile: "DIR/list"}, "DIR/list: no such file or directory; check the path given with --classes", failed},
		"empty list":    {[]string{"train/dogs/a.JPEG", "x", "list", "# none\n\n"}, "", source.Options{ClassesFile: "DIR/list"}, "DIR/list: lists no class; write one WNID a line", malformed},
		"twice in list": {[]string{"train/dogs/a.JPEG", "x", "list", "dogs\ncats\ndogs again"}, "", source.Options{ClassesFile: "DIR/list"}, "DIR/list: line 3: dogs is on line 1 already; remove one of the two", malformed},
		"path in list":  {[]string{"train/dogs/a.JPEG", "x", "list", "train/dogs"}, "", source.Options{ClassesFile: "DIR/list"}, `DIR/list: line 1: "train/dogs" is no name of a class folder; write one WNID a line`, malformed},
		"latin list":    {[]string{"train/dogs/a.JPEG", "x", "list", "dogs\ncaf\xe9"}, "", source.Options{ClassesFile: "DIR/list"}, `DIR/list: line 2: "caf\xe9" is not UTF-8; save the file as UTF-8`, malformed},
		"binary list":   {[]string{"train/dogs/a.JPEG", "x", "list", "dogs\n" + strings.Repeat("x", 1<<17)}, "", source.Options{ClassesFile: "DIR/list"}, "DIR/list: line 2: the line is too long; write one WNID a line", malformed},

		"empty tar":         {[]string{"ILSVRC2012_img_train.tar", tarOf(t)}, "", source.Options{}, "DIR/ILSVRC2012_img_train.tar: is an empty tar; " + md5 + "1d675b47d978889d74fa0da5fadfb00e)", malformed},
		"empty one":         {[]string{"a.tar", tarOf(t)}, "a.tar", source.Options{}, "DIR/a.tar: is an empty tar; give ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar or the folder that holds them", unsupported},
		"tar of text":       {[]string{"a.tar", tarOf(t, "a.txt", "x")}, "a.tar", source.Options{}, "DIR/a.tar: holds no images and no tars of images; give ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar or the folder that holds them", unsupported},
		"text in train":     {[]string{"ILSVRC2012_img_train.tar", tarOf(t, "a.txt", "x")}, "", source.Options{}, "DIR/ILSVRC2012_img_train.tar: holds no image (.JPEG, .jpg, .png), only other files (a.txt: no image extension); " + md5 + "1d675b47d978889d74fa0da5fadfb00e)", unsupported},
		"no bytes":          {[]string{"ILSVRC2012_img_val.tar", ""}, "", source.Options{}, "DIR/ILSVRC2012_img_val.tar: is empty (0 bytes); " + md5 + "29b22e2961454d5413ddabcf34fc5622)", malformed},
		"no tar":            {[]string{"photo.jpg", strings.Repeat("x", 600)}, "photo.jpg", source.Options{}, "DIR/photo.jpg: is no tar archive; give a folder, or one of the archives; if this is one, copy or make the archive again", malformed},
		"cut tar":           {[]string{"ILSVRC2012_img_val.tar", val[:512], truthName, elevenLines}, "", source.Options{}, "DIR/ILSVRC2012_img_val.tar: is truncated: ILSVRC2012_val_00000010.JPEG needs 1 bytes from offset 512, the archive ends at 512; " + md5 + "29b22e2961454d5413ddabcf34fc5622)", malformed},
		"cut end":           {[]string{"ILSVRC2012_img_val.tar", val[:1024], truthName, elevenLines}, "", source.Options{}, "DIR/ILSVRC2012_img_val.tar: is truncated: ends after 1 files without the end mark of a tar; " + md5 + "29b22e2961454d5413ddabcf34fc5622)", malformed},
		"cut inner":         {[]string{"ILSVRC2012_img_train.tar", tarOf(t, "n01440764.tar", class, "n01443537.tar", class[:1024])}, "", source.Options{}, "DIR/ILSVRC2012_img_train.tar: n01443537.tar: is truncated: ends after 1 files without the end mark of a tar; " + md5 + "1d675b47d978889d74fa0da5fadfb00e)", malformed},
		"latin inner":       {[]string{"train.tar", tarOf(t, "dogs.tar", class, "caf\xe9.tar", class)}, "", source.Options{}, `DIR/train.tar: has the tar of a class "caf\xe9.tar", whose name is not UTF-8; pack it again under another name`, unsupported},
		"twice in tar":      {[]string{"v.tar", tarOf(t, "a/ILSVRC2012_val_00000010.JPEG", "x", "b/ILSVRC2012_val_00000010.JPEG", "y"), truthName, elevenLines}, "", source.Options{}, "DIR/v.tar: holds ILSVRC2012_val_00000010.JPEG twice; keep one of the two", malformed},
		"flat train tar":    {[]string{"train.tar", tarOf(t, "a.JPEG", "x")}, "train.tar", source.Options{}, "DIR/train.tar: holds images (a.JPEG) but no tars or folders of classes, so they have no labels" + oneAClass, unsupported},
		"half in folders":   {[]string{"train.tar", tarOf(t, "n01440764/a.JPEG", "x", "b.JPEG", "x")}, "", source.Options{}, "DIR/train.tar: holds images in class folders and outside (b.JPEG); keep either one folder a class, or images only", unsupported},
		"compressed":        {[]string{"ILSVRC2012_img_train.tar", gzipped(t, "x")}, "", source.Options{}, "DIR/ILSVRC2012_img_train.tar: is compressed (gzip); decompress it: images are read in place, which a compressed tar does not allow", unsupported},
		"two archives":      {[]string{"a.tar", tarOf(t, "n01440764.tar", class), "b.tar", tarOf(t, "n01440764.tar", class)}, "", source.Options{}, "DIR: holds 2 archives of train images: a.tar, b.tar; give one of them, or leave one in the folder", unsupported},
		"file as folder":    {[]string{"a.tar", tarOf(t, "n01440764.tar", class)}, "a.tar", source.Options{Layout: "folder"}, "DIR/a.tar: is a file, the layout folder needs a folder; use --layout auto, or give the folder", unsupported},
		"kaggle asked":      {[]string{"train/n01440764/a.JPEG", "x"}, "", source.Options{Layout: "kaggle"}, "DIR: holds no ILSVRC/Data/CLS-LOC; give the folder that holds ILSVRC/, LOC_val_solution.csv and LOC_synset_mapping.txt", unsupported},
		"kaggle file":       {[]string{"a.tar", val}, "a.tar", source.Options{Layout: "kaggle"}, "DIR/a.tar: is a file, the layout kaggle needs a folder; use --layout auto, or give the folder", unsupported},
		"kaggle packed":     {[]string{"imagenet_object_localization_patched2019.tar.gz", "x"}, "", source.Options{}, "DIR: holds Kaggle's archive imagenet_object_localization_patched2019.tar.gz, which is compressed and cannot be read in place; unpack it, and give the folder that then holds ILSVRC/ and LOC_val_solution.csv", unsupported},
		"no solution":       {[]string{kaggle + "val/ILSVRC2012_val_00000010.JPEG", "x"}, "", source.Options{}, "DIR/ILSVRC/Data/CLS-LOC/val: is a flat validation set, and the list that labels it is missing; put LOC_val_solution.csv, which Kaggle has beside ILSVRC/, into DIR", unsupported},
		"not in solution":   {[]string{kaggle + "val/ILSVRC2012_val_00000012.JPEG", "x", solutionName, tenthAndEleventh}, "", source.Options{}, "DIR/ILSVRC/Data/CLS-LOC/val: ILSVRC2012_val_00000012.JPEG is not in DIR/LOC_val_solution.csv; take LOC_val_solution.csv from Kaggle again, or remove the image", unsupported},
		"unknown solution":  {[]string{kaggle + "val/ILSVRC2012_val_00000010.JPEG", "x", solutionName, tenthAndEleventh, mappingName, "n01440764 tench\n"}, "", source.Options{}, "DIR/LOC_val_solution.csv: line 3: ILSVRC2012_val_00000010 is of class n02328150, which is not among the 1 of DIR/LOC_synset_mapping.txt; add it to the file, or list the classes with --classes FILE", malformed},
		"not in mapping":    {[]string{kaggle + "train/n99999999/a.JPEG", "x", mappingName, "n01440764 tench\n"}, "", source.Options{}, "DIR/ILSVRC/Data/CLS-LOC/train: the class n99999999 is not among the 1 of DIR/LOC_synset_mapping.txt; add it to the file, or list the classes with --classes FILE", unsupported},
		"no header":         {[]string{kaggle + "val/a.JPEG", "x", solutionName, "a,n01440764 1 2 3 4\n"}, "", source.Options{}, `DIR/LOC_val_solution.csv: line 1: "a,n01440764 1 2 3 4" is not the header "ImageId,PredictionString"` + fromKaggle, malformed},
		"no comma":          {[]string{kaggle + "val/a.JPEG", "x", solutionName, header + "a n01440764\n"}, "", source.Options{}, `DIR/LOC_val_solution.csv: line 2: "a n01440764" is not an image, a comma and a WNID` + fromKaggle, malformed},
		"no WNID in line":   {[]string{kaggle + "val/a.JPEG", "x", solutionName, header + "a,n01440764 1 2 3 4\n\nb,65 1 2 3 4"}, "", source.Options{}, `DIR/LOC_val_solution.csv: line 4: "65 1 2 3 4" does not begin with a WNID (n and eight digits)` + fromKaggle, malformed},
		"twice in solution": {[]string{kaggle + "val/a.JPEG", "x", solutionName, header + "a,n01440764\nb,n01440764\na,n01443537\n"}, "", source.Options{}, "DIR/LOC_val_solution.csv: line 4: a is on line 2 already" + fromKaggle, malformed},
		"empty solution":    {[]string{kaggle + "val/a.JPEG", "x", solutionName, header}, "", source.Options{}, "DIR/LOC_val_solution.csv: lists no image" + fromKaggle, malformed},
		"no bytes solution": {[]string{kaggle + "val/a.JPEG", "x", solutionName, ""}, "", source.Options{}, "DIR/LOC_val_solution.csv: lists no image" + fromKaggle, malformed},
		"long solution":     {[]string{kaggle + "val/a.JPEG", "x", solutionName, header + "a," + strings.Repeat("n01440764 1 2 3 4 ", 1<<16)}, "", source.Options{}, "DIR/LOC_val_solution.csv: line 2: the line is too long" + fromKaggle, malformed},
		"bad mapping":       {[]string{kaggle + "train/n01440764/a.JPEG", "x", mappingName, "n01440764 tench\na/b\n"}, "", source.Options{}, `DIR/LOC_synset_mapping.txt: line 2: "a/b" is no name of a class folder; write one WNID a line`, malformed},
		"two sets":          {[]string{"train/n01440764/a.JPEG", "x", "data_batch_1.bin", "x", "t10k-images-idx3-ubyte", "x", "t10k-labels-idx1-ubyte", "x"}, "", source.Options{}, "DIR: holds more than one set (cifar10, mnist, ilsvrc); give the folder of one, or choose with --layout", unsupported},

		"no cifar":            {[]string{"a.txt", "x"}, "", source.Options{Layout: "cifar10"}, "DIR: holds no data_batch_1.bin and the like; give the folder that holds them, or cifar-10-binary.tar.gz", unsupported},
		"no cifar file":       {[]string{"a.tar", val}, "a.tar", source.Options{Layout: "cifar10"}, "DIR/a.tar: is no archive of the layout cifar10; use --layout auto", unsupported},
		"no cifar100":         {[]string{"a.txt", "x"}, "", source.Options{Layout: "cifar100"}, "DIR: holds no train.bin and test.bin; give the folder that holds them, or cifar-100-binary.tar.gz", unsupported},
		"cifar for Python":    {[]string{"cifar-10-batches-py/data_batch_1", "x"}, "", source.Options{}, "DIR/cifar-10-batches-py: holds CIFAR for Python, which is not read; take the binary version, cifar-10-binary.tar.gz or cifar-100-binary.tar.gz", unsupported},
		"in cifar for Python": {[]string{"data_batch_1", "x"}, "", source.Options{}, "DIR: holds CIFAR for Python, which is not read; take the binary version, cifar-10-binary.tar.gz or cifar-100-binary.tar.gz", unsupported},
		"one of cifar":        {[]string{"data_batch_1.bin", cifarFile(false, 1)}, "data_batch_1.bin", source.Options{}, "DIR/data_batch_1.bin: is one of the files of a set; give the folder that holds it and the others", unsupported},
		"cut cifar":           {[]string{"data_batch_1.bin", cifarFile(false, 1, 2)[:5000]}, "", source.Options{}, "DIR/data_batch_1.bin: has 5000 bytes, which is not a whole number of records of 3073: it is cut short, or not of CIFAR-10" + cifarAgain, malformed},
		"empty cifar":         {[]string{"test_batch.bin", ""}, "", source.Options{}, "DIR/test_batch.bin: has 0 bytes, which is not a whole number of records of 3073: it is cut short, or not of CIFAR-10" + cifarAgain, malformed},
		"cifar label":         {[]string{"test_batch.bin", cifarFile(false, 1, 10)}, "", source.Options{}, "DIR/test_batch.bin: gives picture 1 the label 10, CIFAR-10 has 0 to 9" + cifarAgain, malformed},
		"cifar100 label":      {[]string{"test.bin", cifarFile(true, 100)}, "", source.Options{}, "DIR/test.bin: gives picture 0 the label 100, CIFAR-100 has 0 to 99; unpack it again from cifar-100-binary.tar.gz, or download that again", malformed},
		"cut cifar100":        {[]string{"train.bin", cifarFile(true, 1)[:3000], "fine_label_names.txt", "apple\n"}, "", source.Options{}, `DIR/fine_label_names.txt: gives the label 1 the name nothing, in CIFAR-100 it is "aquarium_fish"; if the set is CIFAR-100, remove the file`, unsupported},
		"cifar names":         {[]string{"test_batch.bin", cifarFile(false, 1), "batches.meta.txt", "airplane\nauto\n"}, "", source.Options{}, `DIR/batches.meta.txt: gives the label 1 the name "auto", in CIFAR-10 it is "automobile"; if the set is CIFAR-10, remove the file`, unsupported},
		"cut cifar gzip":      {[]string{"cifar-10-binary.tar.gz", packedCIFAR[:len(packedCIFAR)/2]}, "", source.Options{}, "DIR/cifar-10-binary.tar.gz: is truncated; " + md5 + "c32a1d4ab5d03f1284b67883e8d87530)", malformed},
		"no cifar in gzip":    {[]string{"cifar-10-binary.tar.gz", gzipped(t, tarOf(t, "a.txt", "x"))}, "", source.Options{}, "DIR/cifar-10-binary.tar.gz: holds none of the files of CIFAR-10; " + md5 + "c32a1d4ab5d03f1284b67883e8d87530)", unsupported},
		"cifar is no tar":     {[]string{"cifar-10-binary.tar.gz", "<!DOCTYPE html>" + strings.Repeat(" ", 600)}, "", source.Options{}, "DIR/cifar-10-binary.tar.gz: is no tar archive; " + md5 + "c32a1d4ab5d03f1284b67883e8d87530)", malformed},
		"cut cifar tar":       {[]string{"c.tar", tarOf(t, "test_batch.bin", cifarFile(false, 1))[:2000]}, "c.tar", source.Options{}, "DIR/c.tar: is truncated: test_batch.bin needs 3073 bytes from offset 512, the archive ends at 2000; copy or make the archive again", malformed},
		"twice in cifar":      {[]string{"c.tar", tarOf(t, "a/test_batch.bin", cifarFile(false, 1), "b/test_batch.bin", cifarFile(false, 1))}, "c.tar", source.Options{}, "DIR/c.tar: holds test_batch.bin twice; copy or make the archive again", malformed},
		"cifar in tar":        {[]string{"c.tar", tarOf(t, "a/test_batch.bin", "x")}, "c.tar", source.Options{}, "DIR/c.tar: a/test_batch.bin: has 1 bytes, which is not a whole number of records of 3073: it is cut short, or not of CIFAR-10" + cifarAgain, malformed},
		"list for cifar":      {[]string{"test_batch.bin", cifarFile(false, 1)}, "", source.Options{ClassesFile: "DIR/list"}, "DIR: is a set whose classes are fixed (cifar10); leave --classes out", unsupported},

		"no mnist":        {[]string{"a.txt", "x"}, "", source.Options{Layout: "mnist"}, "DIR: holds no train-images-idx3-ubyte and the like; give the folder that holds the four files of the set", unsupported},
		"one of mnist":    {[]string{images, "x"}, images, source.Options{}, "DIR/" + images + ": is one of the files of a set; give the folder that holds it and the others", unsupported},
		"no labels":       {[]string{images, "x"}, "", source.Options{}, "DIR/" + images + ": has pictures, and the file of their labels is missing; put t10k-labels-idx1-ubyte.gz beside it", unsupported},
		"no pictures":     {[]string{labels + ".gz", "x"}, "", source.Options{}, "DIR/" + labels + ".gz: has labels, and the file of the pictures is missing; put t10k-images-idx3-ubyte.gz beside it", unsupported},
		"two mnists":      {[]string{"MNIST/raw/" + images, "x", "MNIST/raw/" + labels, "x", "FashionMNIST/raw/" + images, "x", "FashionMNIST/raw/" + labels, "x"}, "", source.Options{}, "DIR: holds more than one set of idx files; give DIR/MNIST/raw or DIR/FashionMNIST/raw", unsupported},
		"deep mnist":      {[]string{"data/MNIST/raw/" + images, "x", "data/MNIST/raw/" + labels, "x"}, "", source.Options{}, "DIR: holds no images, they seem to lie deeper; give DIR/data", unsupported},
		"empty idx":       {[]string{images, "", labels, "x"}, "", source.Options{}, "DIR/" + images + ": is empty (0 bytes)" + idxAgain, malformed},
		"idx magic":       {[]string{images, idxFile("\x01", 1), labels, "x"}, "", source.Options{}, "DIR/" + images + ": begins with 00000801, an idx file of bytes in 3 dimensions with 00000803" + idxAgain, malformed},
		"idx of text":     {[]string{images, "404 not found", labels, "x"}, "", source.Options{}, "DIR/" + images + ": begins with 34303420, an idx file of bytes in 3 dimensions with 00000803" + idxAgain, malformed},
		"cut idx header":  {[]string{images, idxFile("", 1, 1, 1)[:9], labels, "x"}, "", source.Options{}, "DIR/" + images + ": is truncated: 9 bytes, the header alone has 16" + idxAgain, malformed},
		"cut idx":         {[]string{images, idxFile("x", 1, 2, 3), labels, "x"}, "", source.Options{}, "DIR/" + images + ": has 1 bytes after its header, which tells of 6" + idxAgain, malformed},
		"long idx":        {[]string{images, idxFile("1234567", 1, 2, 3), labels, "x"}, "", source.Options{}, "DIR/" + images + ": has 7 bytes after its header, which tells of 6" + idxAgain, malformed},
		"huge idx":        {[]string{images, idxFile("", 1<<24, 1<<12, 1<<12), labels, "x"}, "", source.Options{}, "DIR/" + images + ": has 0 bytes after its header, which tells of 281474976710656" + idxAgain, malformed},
		"idx dimension":   {[]string{images, idxFile("", 1, 28, 1<<20), labels, "x"}, "", source.Options{}, "DIR/" + images + ": has a dimension of 1048576 in its header, 1 to 4096 can be read" + idxAgain, malformed},
		"no idx pictures": {[]string{images, idxFile("", 0, 28, 28), labels, "x"}, "", source.Options{}, "DIR/" + images + ": has a dimension of 0 in its header, 1 to 16777216 can be read" + idxAgain, malformed},
		"idx counts":      {[]string{images, idxFile("xy", 2, 1, 1), labels, idxFile("\x01\x02\x03", 3)}, "", source.Options{}, "DIR/" + images + ": has 2 pictures, " + labels + " has 3 labels; the two are not of one set: download or unpack the file again", malformed},
		"idx label":       {[]string{images, idxFile("xy", 2, 1, 1), labels, idxFile("\x09\x0a", 2)}, "", source.Options{}, "DIR/" + labels + ": gives picture 1 the label 10, MNIST has 0 to 9" + idxAgain, malformed},
		"idx sizes":       {[]string{"train-images-idx3-ubyte", idxFile("xy", 1, 1, 2), "train-labels-idx1-ubyte", idxFile("\x01", 1), images, idxFile("xy", 1, 2, 1), labels, idxFile("\x01", 1)}, "", source.Options{}, "DIR/" + images + ": has pictures of 1x2x1, those of DIR/train-images-idx3-ubyte have 1x1x2" + idxAgain, malformed},
		"cut idx gzip":    {[]string{images + ".gz", gzipped(t, idxFile("x", 1, 1, 1))[:20], labels, "x"}, "", source.Options{}, "DIR/" + images + ".gz: is truncated; " + md5 + "9fb629c4189551a2d022fa330f9573f3)", malformed},
		"unlabelled":      {[]string{"test/a.JPEG", "x"}, "", source.Options{}, "DIR/test: holds unlabelled images only, and no class list goes with them; add train/ or val/, or list the classes with --classes FILE", unsupported},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" {
				t.Skip("the messages hold paths with slashes")
			}
			dir := put(t, t.TempDir(), c.files...)
			fill := strings.NewReplacer("DIR", dir)
			c.o.ClassesFile = fill.Replace(c.o.ClassesFile)
			s, err := source.Open(ctx, filepath.Join(dir, c.path), c.o)
			if err == nil {
				s.Close()
				t.Fatalf("opened: %s", s.Describe())
			}
			if want := fill.Replace(c.want); err.Error() != want {
				t.Errorf("got  %s\nwant %s", err, want)
			}
			_, isUnsupported := errors.AsType[*source.UnsupportedError](err)
			_, isMalformed := errors.AsType[*source.MalformedError](err)
			_, isIO := errors.AsType[*source.IOError](err)
			if isUnsupported != (c.kind == unsupported) || isMalformed != (c.kind == malformed) || isIO != (c.kind == failed) {
				t.Errorf("%T is of the wrong kind", err)
			}
			m, object := mirror(t, filepath.Join(dir, c.path))
			if m == nil || slices.ContainsFunc(c.files, func(f string) bool { return strings.HasSuffix(f, "/") }) || c.kind == failed || name == "empty folder" {
				return // of what a store does not have, or words in another way
			}
			s, err = source.OpenFolder(ctx, m, object, c.o)
			if err == nil {
				s.Close()
				t.Fatalf("opened from the store: %s", s.Describe())
			}
			in := m.Name() + "/" + strings.TrimSuffix(strings.TrimSuffix(object, c.path), "/")
			if want := strings.ReplaceAll(strings.NewReplacer("DIR/list", dir+"/list").Replace(c.want), "DIR", in); err.Error() != want {
				t.Errorf("from the store\ngot  %s\nwant %s", err, want)
			}
		})
	}
}

// TestUnreadable takes away the right to read, which root keeps.
func TestUnreadable(t *testing.T) {
	if os.Geteuid() <= 0 {
		t.Skip("root reads everything, and Windows has other rights")
	}
	dir := put(t, t.TempDir(), "train/n01440764/a.JPEG", "x", "train/n01443537/b.JPEG", "x", "t/ILSVRC2012_img_train.tar", "x", "k/train/n01440764/a.JPEG", "x", "k/"+truthName, "1",
		"c/test_batch.bin", "x", "z/cifar-10-binary.tar.gz", "x", "m/t10k-images-idx3-ubyte", "x", "m/t10k-labels-idx1-ubyte", "x",
		"s/Data/CLS-LOC/val/a.JPEG", "x", "s/"+solutionName, "x", "y/Data/CLS-LOC/train/n01440764/a.JPEG", "x", "y/"+mappingName, "x")
	for path, want := range map[string]string{
		"train/n01443537":            ": permission denied; check that the folder is there and may be read",
		"t/ILSVRC2012_img_train.tar": ": permission denied; check that the file is there and may be read",
		"k/" + truthName:             ": permission denied; check that it may be read",
		"c/test_batch.bin":           ": permission denied; check that the file is there and may be read",
		"z/cifar-10-binary.tar.gz":   ": permission denied; check that the file is there and may be read",
		"m/t10k-images-idx3-ubyte":   ": permission denied; check that the file is there and may be read",
		"s/" + solutionName:          ": permission denied; check that it may be read",
		"y/" + mappingName:           ": permission denied; take the file from Kaggle again",
	} {
		file := filepath.Join(dir, path)
		if err := os.Chmod(file, 0); err != nil {
			t.Fatal(err)
		}
		defer os.Chmod(file, 0o700)
		open := dir
		if parts := strings.Split(path, "/"); len(parts[0]) == 1 {
			open = filepath.Join(dir, parts[0])
		}
		_, err := source.Open(ctx, open, source.Options{})
		if _, ok := errors.AsType[*source.IOError](err); !ok || err.Error() != file+want {
			t.Errorf("%v, want the *IOError %q", err, file+want)
		}
	}
}

// TestClassNameNotUTF8 has a class folder that no manifest could name.
func TestClassNameNotUTF8(t *testing.T) {
	dir := put(t, t.TempDir(), "train/n01440764/a.JPEG", "x")
	if err := os.Mkdir(filepath.Join(dir, "train", "caf\xe9"), 0o777); err != nil {
		t.Skip("the file system takes no such name: ", err)
	}
	_, err := source.Open(ctx, dir, source.Options{})
	if want := filepath.Join(dir, "train") + `: has the class folder "caf\xe9", whose name is not UTF-8; rename it`; err == nil || err.Error() != want {
		t.Errorf("%v, want %q", err, want)
	}
}
