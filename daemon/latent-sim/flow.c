/* Slopes of Lorenz', Roessler's and Arneodo's systems; Runge-Kutta of order 4. */
#include "latent-sim/flow.h"

void flow_lorenz(const double *p, const double x[FLOW_STATES], double out[FLOW_STATES])
{
    out[0] = p[0] * (x[1] - x[0]);
    out[1] = x[0] * (p[1] - x[2]) - x[1];
    out[2] = x[0] * x[1] - p[2] * x[2];
}

void flow_rossler(const double *p, const double x[FLOW_STATES], double out[FLOW_STATES])
{
    out[0] = -x[1] - x[2];
    out[1] = x[0] + p[0] * x[1];
    out[2] = p[1] + x[2] * (x[0] - p[2]);
}

void flow_arneodo(const double *p, const double x[FLOW_STATES], double out[FLOW_STATES])
{
    out[0] = x[1];
    out[1] = x[2];
    out[2] = p[0] * x[0] - p[1] * x[1] - p[2] * x[2] - x[0] * x[0] * x[0];
}

/* out = x + h slope */
static void flow_move(const double x[FLOW_STATES], double h, const double slope[FLOW_STATES],
                      double out[FLOW_STATES])
{
    for (int i = 0; i < FLOW_STATES; i++) out[i] = x[i] + h * slope[i];
}

void flow_step(const struct flow *flow, double h, double x[FLOW_STATES])
{
    double k1[FLOW_STATES], k2[FLOW_STATES], k3[FLOW_STATES], k4[FLOW_STATES];
    double at[FLOW_STATES];
    flow->slope(flow->p, x, k1);
    flow_move(x, h / 2.0, k1, at);
    flow->slope(flow->p, at, k2);
    flow_move(x, h / 2.0, k2, at);
    flow->slope(flow->p, at, k3);
    flow_move(x, h, k3, at);
    flow->slope(flow->p, at, k4);
    for (int i = 0; i < FLOW_STATES; i++)
        x[i] += h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]);
}
