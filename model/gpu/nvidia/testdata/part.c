// A part of the fake cuDNN: it is only looked for.
int fake_part;
