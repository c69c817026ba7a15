/* Chaotic flows in three dimensions, and their integration. */
#ifndef SIM_FLOW_H
#define SIM_FLOW_H

#define FLOW_STATES 3

struct flow {
    void (*slope)(const double *p, const double x[FLOW_STATES], double out[FLOW_STATES]);
    double p[FLOW_STATES]; /* parameters of the slope, in the order of its formula */
};

/* x' = p0 (y - x), y' = x (p1 - z) - y, z' = x y - p2 z */
void flow_lorenz(const double *p, const double x[FLOW_STATES], double out[FLOW_STATES]);
/* x' = -y - z, y' = x + p0 y, z' = p1 + z (x - p2) */
void flow_rossler(const double *p, const double x[FLOW_STATES], double out[FLOW_STATES]);
/* x' = y, y' = z, z' = p0 x - p1 y - p2 z - x^3 */
void flow_arneodo(const double *p, const double x[FLOW_STATES], double out[FLOW_STATES]);

/* One step of the classical Runge-Kutta method, h in the flow's time. */
void flow_step(const struct flow *flow, double h, double x[FLOW_STATES]);

#endif
