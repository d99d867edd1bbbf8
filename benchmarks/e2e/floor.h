/* What the harness and the floor agree on. */
#ifndef FLOOR_H
#define FLOOR_H

#define FLOOR_GETDATA 61 /* bytes of a getdata for one transaction */
#define FLOOR_END ((const uint8_t *)"\0\0\0\0")

#endif
