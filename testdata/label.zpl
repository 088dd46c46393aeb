^XA
^FX A label template in ZPL II, in dots: 50 by 30 mm at 203 dots per inch (8 dots per mm).
^FX {NAME} stands for a value of the unit, {{ and }} are braces. docs/labels.md lists the commands.
^PW400
^LL240
^LH0,0
^MMT
^FO4,4^GB392,232,2^FS
^BY2,3,1
^FO16,15^BQN,2,3^FDMA,{serial} {witness}^FS
^FO328,16^BXN,3,200^FD{serial}^FS
^FO152,16^A0N,40^FD{outcome}^FS
^FO152,80^A0N,24^FB232,2^FD{serial}^FS
^FO152,144^A0N,18^FB232,1^FD{product}  {mark}^FS
^FO16,200^A0N,16^FB368,1,0,C^FD{station}  {time} UTC^FS
^XZ
